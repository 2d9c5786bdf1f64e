// Handlers of poolings.
//
// Arrays are (batch, *sizes, channels); places that are not there have no elements.

#include "kernels/pooling.h"

#include <algorithm>

#include "operands.h"

namespace plait {
namespace {

using Places = ffi::Buffer<ffi::U8>;

// Axes that are not there have the size 1, before those that are.
Windows Read(Team& team, Numbers elements, Numbers windows, Numbers size, Numbers strides,
             Numbers before, bool backward) {
  const size_t rank = size.size();
  if (rank < 1 || rank > 3 || strides.size() != rank || before.size() != rank ||
      elements.size() != rank + 2 || windows.size() != rank + 2)
    throw Refused("numbers of axes do not fit.");
  Windows is{};
  is.batch = elements[0], is.channels = elements[rank + 1];
  if (is.batch < 1 || is.channels < 1 || windows[0] != is.batch ||
      windows[rank + 1] != is.channels)
    throw Refused("batch or channels do not fit.");
  for (int axis = 0; axis < 3; ++axis)
    is.elements[axis] = is.windows[axis] = is.size[axis] = is.strides[axis] = 1;
  int64_t in_window = 1;
  for (size_t i = 0; i < rank; ++i) {
    const size_t axis = i + 3 - rank;
    is.elements[axis] = elements[i + 1], is.windows[axis] = windows[i + 1];
    is.size[axis] = size[i], is.strides[axis] = strides[i], is.before[axis] = before[i];
    // Every window has an element.
    if (elements[i + 1] < 1 || windows[i + 1] < 1 || strides[i] < 1 || size[i] < 1 ||
        before[i] < 0 || before[i] >= size[i] ||
        (windows[i + 1] - 1) * strides[i] - before[i] >= elements[i + 1])
      throw Refused("sizes do not fit.");
    if ((in_window *= size[i]) > kMostInWindow) throw Refused("the window is too large.");
  }
  constexpr int64_t kTogether = 1 << 15, kLeast = 1 << 14;
  const int64_t* written = backward ? is.elements : is.windows;
  const int64_t threads = team.threads();
  int64_t in_image = is.channels;
  for (int64_t count : is.elements) in_image *= count;
  is.images = std::clamp<int64_t>(kTogether / in_image, 1, (is.batch + threads - 1) / threads);
  const int64_t rows = (is.batch + is.images - 1) / is.images * written[0] * written[1];
  // Threads are called for what takes longer than they need to come, and have several parts each,
  // as they may come late.
  is.parts = std::max<int64_t>(std::min({is.batch * in_image / kLeast, 4 * threads, rows}), 1);
  is.sharing = team.sharing();
  is.scratch = Memory(Scratch::kOfCall, is.ScratchBytes());
  return is;
}

ffi::Error Maximum(ffi::ThreadPool pool, Array x, Result y, ffi::Result<Places> places,
                   Numbers size, Numbers strides, Numbers before) {
  return Guarded("pooling", [&] {
    Team team(pool);
    MaxPool call{};
    call.is = Read(team, x.dimensions(), y->dimensions(), size, strides, before, false);
    call.x = x.typed_data();
    call.y = y->typed_data();
    call.places = Optional(*places, DimsOf(*y), "the places");
    RunMaxPool(call);
  });
}

ffi::Error Linear(ffi::ThreadPool pool, Array from, Places places, Result to,
                  Numbers size, Numbers strides, Numbers before, bool backward) {
  return Guarded("pooling", [&] {
    Team team(pool);
    Array &elements = backward ? *to : from, &windows = backward ? from : *to;
    LinearPool call{};
    call.is = Read(team, elements.dimensions(), windows.dimensions(), size, strides, before,
                   backward);
    call.backward = backward;
    call.from = from.typed_data();
    call.to = to->typed_data();
    call.places = Optional(places, DimsOf(windows), "the places");
    RunLinearPool(call);
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_max_pool, plait::Maximum,
                              plait::Binding(plait::Maximum, "size", "strides", "before"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_linear_pool, plait::Linear,
                              plait::Binding(plait::Linear, "size", "strides", "before",
                                             "backward"));

#pragma GCC visibility pop
