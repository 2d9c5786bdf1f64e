// Handlers of LSTM and GRU over whole sequences.
//
// Arrays are (batch, time, width); an operand that is not there has no elements.

#include "kernels/recurrence.h"

#include <algorithm>

#include "operands.h"

namespace plait {
namespace {

using Flags = ffi::Buffer<ffi::PRED>;

Recurrence Read(Team& team, Array& x, Array& kernel, Array& recurrent, Array& bias, Array& first_h,
                Array& first_c, Flags& keep, bool gru, bool reverse) {
  const auto sizes = x.dimensions(), states = first_h.dimensions();
  if (sizes.size() != 3 || states.size() != 2)
    throw Refused("inputs have three axes, and states two.");
  Recurrence r{};
  r.gru = gru, r.reverse = reverse;
  r.batch = sizes[0], r.steps = sizes[1], r.features = sizes[2], r.units = states[1];
  if (r.batch < 1 || r.steps < 1 || r.features < 1 || r.units < 1)
    throw Refused("an axis is empty.");
  const int64_t width = r.Gates() * r.units;
  r.x = x.typed_data();
  r.kernel = Data(kernel, {r.features, width}, "the kernel");
  r.recurrent = Data(recurrent, {r.units, width}, "the recurrent kernel");
  r.bias = Optional(bias, gru ? Dims{2, width} : Dims{width}, "the bias");
  r.first_h = Data(first_h, {r.batch, r.units}, "the first h");
  if (!gru) r.first_c = Data(first_c, {r.batch, r.units}, "the first c");
  r.keep = reinterpret_cast<const uint8_t*>(Optional(keep, {r.batch, r.steps}, "the mask"));
  r.sharing = team.sharing();
  r.threads = std::min(team.threads(), r.batch);
  return r;
}

ffi::Error Forward(ffi::ThreadPool pool, Array x, Array kernel, Array recurrent, Array bias, Array first_h,
                   Array first_c, Flags keep, Result h, Result last_h, Result last_c, Result c,
                   Result gates, bool gru, bool reverse) {
  return Guarded("recurrence", [&] {
    Team team(pool);
    RecurrenceForward call{};
    call.is = Read(team, x, kernel, recurrent, bias, first_h, first_c, keep, gru, reverse);
    const int64_t batch = call.is.batch, steps = call.is.steps, units = call.is.units;
    call.h = Data(*h, {batch, steps, units}, "h");
    call.last_h = Data(*last_h, {batch, units}, "the last h");
    if (!gru) call.last_c = Data(*last_c, {batch, units}, "the last c");
    if (gates->element_count() != 0) {
      call.gates = Data(*gates, {batch, steps, 4 * units}, "the gates");
      if (!gru) call.c = Data(*c, {batch, steps, units}, "c");
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
  return Guarded("recurrence", [&] {
    Team team(pool);
    RecurrenceBackward call{};
    call.is = Read(team, x, kernel, recurrent, bias, first_h, first_c, keep, gru, reverse);
    const Recurrence& is = call.is;
    const Dims all{is.batch, is.steps, is.units}, one{is.batch, is.units};
    const int64_t width = is.Gates() * is.units;
    call.h = Data(h, all, "h");
    call.gates = Data(gates, {is.batch, is.steps, 4 * is.units}, "the gates");
    call.by_h = Optional(by_h, all, "the gradient by h");
    call.by_last_h = Optional(by_last_h, one, "the gradient by the last h");
    if (!gru) {
      call.c = Data(c, all, "c");
      call.by_last_c = Optional(by_last_c, one, "the gradient by the last c");
      call.by_first_c = Data(*by_first_c, one, "the gradient by the first c");
    }
    call.by_x = Optional(*by_x, {is.batch, is.steps, is.features}, "the gradient by x");
    call.by_kernel = Data(*by_kernel, {is.features, width}, "the gradient by the kernel");
    call.by_recurrent =
        Data(*by_recurrent, {is.units, width}, "the gradient by the recurrent kernel");
    if (is.bias)
      call.by_bias = Data(*by_bias, gru ? Dims{2, width} : Dims{width}, "that by the bias");
    call.by_first_h = Data(*by_first_h, one, "the gradient by the first h");
    call.scratch = static_cast<float*>(Memory(Scratch::kOfCall, call.ScratchFloats() * sizeof(float)));
    RunBackward(call);
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_recurrence, plait::Forward,
                              plait::Binding(plait::Forward, "gru", "reverse"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_recurrence_backward, plait::Backward,
                              plait::Binding(plait::Backward, "gru", "reverse"));

#pragma GCC visibility pop
