// Handlers of attention.
//
// Queries, keys and values are (batch, length, heads, channels), the mask (batch, heads, queries,
// keys), where an axis but the last may be 1. Threads share the heads of all examples.

#include "kernels/attention.h"

#include <algorithm>

#include "operands.h"

namespace plait {
namespace {

using Flags = ffi::Buffer<ffi::PRED>;

// All heads: what each is, and where the mask of an example and of a head is.
struct Heads {
  Attention first;
  int64_t batch, heads, mask_example, mask_head;

  Dims Queries(int64_t width) const { return {batch, first.queries, heads, width}; }
  Dims Keys(int64_t width) const { return {batch, first.keys, heads, width}; }
  Dims Moments() const { return {batch, heads, first.queries, 2}; }

  int64_t Example(int64_t part) const { return part / heads; }
  int64_t Head(int64_t part) const { return part % heads; }
  // Where a part's rows begin, each with `width` channels of each head.
  int64_t OfQueries(int64_t part, int64_t width) const {
    return (Example(part) * first.queries * heads + Head(part)) * width;
  }
  int64_t OfKeys(int64_t part, int64_t width) const {
    return (Example(part) * first.keys * heads + Head(part)) * width;
  }

  Attention Part(int64_t part) const {
    Attention is = first;
    is.q += OfQueries(part, is.channels);
    is.k += OfKeys(part, is.channels);
    is.v += OfKeys(part, is.values);
    if (is.mask) is.mask += Example(part) * mask_example + Head(part) * mask_head;
    return is;
  }
};

Heads Read(Array& q, Array& k, Array& v, Flags& mask, float scale) {
  const auto of_q = q.dimensions(), of_v = v.dimensions(), of_mask = mask.dimensions();
  if (of_q.size() != 4 || of_v.size() != 4 || of_mask.size() != 4)
    throw Refused("arrays have four axes.");
  Heads all{};
  Attention& is = all.first;
  all.batch = of_q[0], all.heads = of_q[2];
  is.queries = of_q[1], is.keys = of_v[1], is.channels = of_q[3], is.values = of_v[3];
  if (std::min({is.queries, is.keys, is.channels, is.values}) < 1)
    throw Refused("an axis is empty.");
  is.q = q.typed_data();
  is.k = Data(k, all.Keys(is.channels), "the keys");
  is.v = Data(v, all.Keys(is.values), "the values");
  is.q_row = is.k_row = all.heads * is.channels;
  is.v_row = is.o_row = all.heads * is.values;
  is.scale = scale;
  if (mask.element_count() != 0) {
    const Dims most{all.batch, all.heads, is.queries};
    int64_t step = is.keys, steps[3];
    for (int axis = 2; axis >= 0; --axis) {
      if (of_mask[axis] != 1 && of_mask[axis] != most[axis])
        throw Refused("the mask does not fit.");
      steps[axis] = of_mask[axis] == 1 ? 0 : step;
      step *= of_mask[axis];
    }
    if (of_mask[3] != is.keys) throw Refused("the mask does not fit.");
    is.mask = reinterpret_cast<const uint8_t*>(mask.typed_data());
    all.mask_example = steps[0], all.mask_head = steps[1], is.mask_row = steps[2];
  }
  return all;
}

template <typename Call>
float* ScratchOf(const Call& call) {
  return static_cast<float*>(Memory(Scratch::kOfPart, call.ScratchFloats() * sizeof(float)));
}

ffi::Error Forward(ffi::ThreadPool pool, Array q, Array k, Array v, Flags mask, Result output,
                   Result moments, float scale) {
  return Guarded("attention", [&] {
    const Heads all = Read(q, k, v, mask, scale);
    float* to = Data(*output, all.Queries(all.first.values), "the output");
    float* kept = Optional(*moments, all.Moments(), "the moments");
    Team team(pool);
    team.Each(all.batch * all.heads, [&](int64_t part) {
      AttentionForward call{};
      call.is = all.Part(part);
      call.output = to + all.OfQueries(part, call.is.values);
      if (kept) call.moments = kept + part * call.is.queries * 2;
      call.scratch = ScratchOf(call);
      RunAttention(call);
    });
  });
}

ffi::Error Backward(ffi::ThreadPool pool, Array q, Array k, Array v, Flags mask, Array output,
                    Array moments, Array by_output, Result by_q, Result by_k, Result by_v,
                    float scale) {
  return Guarded("attention", [&] {
    const Heads all = Read(q, k, v, mask, scale);
    const int64_t channels = all.first.channels, values = all.first.values;
    const float* from = Data(output, all.Queries(values), "the output");
    const float* kept = Data(moments, all.Moments(), "the moments");
    const float* by = Data(by_output, all.Queries(values), "the gradient by the output");
    float* to_q = Data(*by_q, all.Queries(channels), "the gradient by the queries");
    float* to_k = Data(*by_k, all.Keys(channels), "the gradient by the keys");
    float* to_v = Data(*by_v, all.Keys(values), "the gradient by the values");
    Team team(pool);
    team.Each(all.batch * all.heads, [&](int64_t part) {
      AttentionBackward call{};
      call.is = all.Part(part);
      call.output = from + all.OfQueries(part, values);
      call.moments = kept + part * call.is.queries * 2;
      call.by_output = by + all.OfQueries(part, values);
      call.by_q = to_q + all.OfQueries(part, channels);
      call.by_k = to_k + all.OfKeys(part, channels);
      call.by_v = to_v + all.OfKeys(part, values);
      call.scratch = ScratchOf(call);
      RunAttentionBackward(call);
    });
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_attention, plait::Forward,
                              plait::Binding(plait::Forward, "scale"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_attention_backward, plait::Backward,
                              plait::Binding(plait::Backward, "scale"));

#pragma GCC visibility pop
