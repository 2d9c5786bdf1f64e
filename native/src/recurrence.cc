// Handlers of LSTM and GRU over whole sequences.
//
// Arrays are (batch, time, width); an operand that is not there has no elements.

#include "kernels/recurrence.h"

#include <algorithm>

#include "runtime.h"

namespace plait {
namespace {

using Array = ffi::Buffer<ffi::F32>;
using Flags = ffi::Buffer<ffi::PRED>;
using Result = ffi::Result<Array>;
using Shape = std::vector<int64_t>;

template <typename Any>
void Check(Any& array, const Shape& shape, const char* name) {
  const auto have = array.dimensions();
  if (!std::equal(have.begin(), have.end(), shape.begin(), shape.end()))
    throw Refused(std::string("recurrence: the shape of ") + name + " does not fit.");
}

// The data of an operand, or null if it has no elements.
const float* Optional(Array& array, const Shape& shape, const char* name) {
  if (array.element_count() == 0) return nullptr;
  Check(array, shape, name);
  return array.typed_data();
}

const float* Data(Array& array, const Shape& shape, const char* name) {
  Check(array, shape, name);
  return array.typed_data();
}

float* Written(Result& array, const Shape& shape, const char* name) {
  Check(*array, shape, name);
  return array->typed_data();
}

Recurrence Read(Team& team, Array& x, Array& kernel, Array& recurrent, Array& bias, Array& first_h,
                Array& first_c, Flags& keep, bool gru, bool reverse) {
  const auto sizes = x.dimensions(), states = first_h.dimensions();
  if (sizes.size() != 3 || states.size() != 2)
    throw Refused("recurrence: inputs have three axes, and states two.");
  Recurrence r{};
  r.gru = gru, r.reverse = reverse;
  r.batch = sizes[0], r.steps = sizes[1], r.features = sizes[2], r.units = states[1];
  if (r.batch < 1 || r.steps < 1 || r.features < 1 || r.units < 1)
    throw Refused("recurrence: an axis is empty.");
  const int64_t width = r.Gates() * r.units;
  r.x = x.typed_data();
  r.kernel = Data(kernel, {r.features, width}, "the kernel");
  r.recurrent = Data(recurrent, {r.units, width}, "the recurrent kernel");
  r.bias = Optional(bias, gru ? Shape{2, width} : Shape{width}, "the bias");
  r.first_h = Data(first_h, {r.batch, r.units}, "the first h");
  if (!gru) r.first_c = Data(first_c, {r.batch, r.units}, "the first c");
  if (keep.element_count() != 0) {
    Check(keep, {r.batch, r.steps}, "the mask");
    r.keep = reinterpret_cast<const uint8_t*>(keep.typed_data());
  }
  r.sharing = team.sharing();
  r.threads = std::min(team.threads(), r.batch);
  return r;
}

ffi::Error Forward(ffi::ThreadPool pool, Array x, Array kernel, Array recurrent, Array bias, Array first_h,
                   Array first_c, Flags keep, Result h, Result last_h, Result last_c, Result c,
                   Result gates, bool gru, bool reverse) {
  return Guarded([&] {
    Team team(pool);
    RecurrenceForward call{};
    call.is = Read(team, x, kernel, recurrent, bias, first_h, first_c, keep, gru, reverse);
    const int64_t batch = call.is.batch, steps = call.is.steps, units = call.is.units;
    call.h = Written(h, {batch, steps, units}, "h");
    call.last_h = Written(last_h, {batch, units}, "the last h");
    if (!gru) call.last_c = Written(last_c, {batch, units}, "the last c");
    if (gates->element_count() != 0) {
      call.gates = Written(gates, {batch, steps, 4 * units}, "the gates");
      if (!gru) call.c = Written(c, {batch, steps, units}, "c");
    }
    call.scratch = static_cast<float*>(Memory(Scratch::kOfCall, call.ScratchFloats() * sizeof(float)));
    RunForward(call);
  });
}

ffi::Error Backward(ffi::ThreadPool pool, Array x, Array kernel, Array recurrent, Array bias, Array first_h,
                    Array first_c, Flags keep, Array h, Array c, Array gates, Array by_h,
                    Array by_last_h, Array by_last_c, Result by_x, Result by_kernel,
                    Result by_recurrent, Result by_bias, Result by_first_h, Result by_first_c,
                    bool gru, bool reverse) {
  return Guarded([&] {
    Team team(pool);
    RecurrenceBackward call{};
    call.is = Read(team, x, kernel, recurrent, bias, first_h, first_c, keep, gru, reverse);
    const Recurrence& is = call.is;
    const Shape all{is.batch, is.steps, is.units}, one{is.batch, is.units};
    const int64_t width = is.Gates() * is.units;
    call.h = Data(h, all, "h");
    call.gates = Data(gates, {is.batch, is.steps, 4 * is.units}, "the gates");
    call.by_h = Optional(by_h, all, "the gradient by h");
    call.by_last_h = Optional(by_last_h, one, "the gradient by the last h");
    if (!gru) {
      call.c = Data(c, all, "c");
      call.by_last_c = Optional(by_last_c, one, "the gradient by the last c");
      call.by_first_c = Written(by_first_c, one, "the gradient by the first c");
    }
    if (by_x->element_count() != 0)
      call.by_x = Written(by_x, {is.batch, is.steps, is.features}, "the gradient by x");
    call.by_kernel = Written(by_kernel, {is.features, width}, "the gradient by the kernel");
    call.by_recurrent =
        Written(by_recurrent, {is.units, width}, "the gradient by the recurrent kernel");
    if (is.bias)
      call.by_bias = Written(by_bias, gru ? Shape{2, width} : Shape{width}, "that by the bias");
    call.by_first_h = Written(by_first_h, one, "the gradient by the first h");
    call.scratch = static_cast<float*>(Memory(Scratch::kOfCall, call.ScratchFloats() * sizeof(float)));
    RunBackward(call);
  });
}

auto Operands() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Array>()
      .Arg<Array>()
      .Arg<Array>()
      .Arg<Array>()
      .Arg<Array>()
      .Arg<Array>()
      .Arg<Flags>();
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_recurrence, plait::Forward,
                              plait::Operands()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Attr<bool>("gru")
                                  .Attr<bool>("reverse"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_recurrence_backward, plait::Backward,
                              plait::Operands()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Attr<bool>("gru")
                                  .Attr<bool>("reverse"));

#pragma GCC visibility pop
