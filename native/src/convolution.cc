// A convolution is a trilinear form of its input, kernel and output; each of the three is computed
// from the other two: the output forward, the input and the kernel backward.
//
// Input and output are (batch, *sizes, channels), the kernel is (*window, channels / groups,
// filters), all of them dense.

#include <omp.h>

#include <array>
#include <cstring>

#include "runtime.h"

namespace plait {
namespace {

using dnnl::memory;
using Dims = memory::dims;

enum Role : int64_t { kInput = 0, kKernel = 1, kOutput = 2 };

struct Geometry {
  Role wanted;
  Dims input, kernel, output;  // as XLA has them
  Dims strides, dilation, before, after;
  int64_t groups;
};

void Check(const Geometry& g) {
  const size_t rank = g.strides.size();
  if (rank < 1 || rank > 3 || g.input.size() != rank + 2 || g.kernel.size() != rank + 2 ||
      g.output.size() != rank + 2 || g.dilation.size() != rank || g.before.size() != rank ||
      g.after.size() != rank)
    throw Refused("convolution: numbers of axes do not fit.");
  if (g.groups < 1 || g.input.back() != g.kernel[rank] * g.groups ||
      g.output.back() != g.kernel[rank + 1] || g.output.back() % g.groups ||
      g.input[0] != g.output[0])
    throw Refused("convolution: batch, channels or groups do not fit.");
  for (const Dims* dims : {&g.input, &g.kernel, &g.output})
    for (int64_t size : *dims)
      if (size < 1) throw Refused("convolution: an axis is empty.");
  for (size_t i = 0; i < rank; ++i) {
    const int64_t reach = (g.kernel[i] - 1) * g.dilation[i] + 1;
    const int64_t room = g.input[i + 1] + g.before[i] + g.after[i] - reach;
    if (g.strides[i] < 1 || g.dilation[i] < 1 || g.before[i] < 0 || g.after[i] < 0 || room < 0 ||
        room / g.strides[i] + 1 != g.output[i + 1])
      throw Refused("convolution: sizes do not fit.");
  }
}

// Channels last, described in oneDNN's order: batch, channels, sizes.
memory::desc Activations(const Dims& shape) {
  const size_t rank = shape.size() - 2;
  Dims dims{shape[0], shape.back()}, strides(rank + 2);
  dims.insert(dims.end(), shape.begin() + 1, shape.end() - 1);
  strides[1] = 1;
  int64_t step = shape.back();
  for (size_t i = rank; i-- > 0;) {
    strides[i + 2] = step;
    step *= shape[i + 1];
  }
  strides[0] = step;
  return {dims, memory::data_type::f32, strides};
}

// The dims of a kernel, [groups,] filters, channels, *window, and their steps in memory.
std::pair<Dims, Dims> KernelLayout(const Dims& shape, int64_t groups) {
  const size_t rank = shape.size() - 2;
  const int64_t channels = shape[rank], filters = shape[rank + 1];
  Dims dims{filters / groups, channels}, strides{1, filters};
  if (groups > 1) {
    dims.insert(dims.begin(), groups);
    strides.insert(strides.begin(), filters / groups);
  }
  int64_t step = channels * filters;
  Dims steps(rank);
  for (size_t i = rank; i-- > 0;) {
    steps[i] = step;
    step *= shape[i];
  }
  dims.insert(dims.end(), shape.begin(), shape.begin() + rank);
  strides.insert(strides.end(), steps.begin(), steps.end());
  return {dims, strides};
}

// A primitive with everything that a call needs but the addresses of its operands.
struct Convolution {
  dnnl::primitive primitive;
  memory input, kernel, output, scratch;
  memory plain_kernel;  // the kernel as XLA has it
  dnnl::primitive reorder;
  size_t packed_bytes = 0, scratch_bytes = 0, reorder_bytes = 0;
  memory reorder_scratch;
  std::string implementation;
};

template <typename Description>
void Fill(Convolution& made, const Description& description, const memory::desc& packed,
          const Geometry& g, bool with_primitive) {
  made.implementation = description.impl_info_str();
  if (!with_primitive) return;
  const auto [dims, strides] = KernelLayout(g.kernel, g.groups);
  const memory::desc plain(dims, memory::data_type::f32, strides);
  auto empty = [](const memory::desc& desc) { return memory(desc, Engine(), nullptr); };
  made.input = empty(Activations(g.input));
  made.output = empty(Activations(g.output));
  made.kernel = empty(packed);
  made.plain_kernel = empty(plain);
  made.scratch = empty(description.scratchpad_desc());
  made.scratch_bytes = description.scratchpad_desc().get_size();
  if (packed != plain) {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const bool back = g.wanted == kKernel;
    dnnl::reorder::primitive_desc reorder(Engine(), back ? packed : plain, Engine(),
                                          back ? plain : packed, attr);
    made.packed_bytes = packed.get_size();
    made.reorder_bytes = reorder.scratchpad_desc().get_size();
    made.reorder_scratch = empty(reorder.scratchpad_desc());
    made.reorder = dnnl::reorder(reorder);
  }
}

Convolution Make(const Geometry& g, bool with_primitive = true) {
  using dnnl::algorithm;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const memory::desc input = Activations(g.input), output = Activations(g.output);
  const memory::desc kernel(KernelLayout(g.kernel, g.groups).first, memory::data_type::f32,
                            memory::format_tag::any);
  Dims dilation = g.dilation;
  for (int64_t& rate : dilation) rate -= 1;
  Convolution made;
  if (g.wanted == kOutput) {
    dnnl::convolution_forward::primitive_desc description(
        Engine(), dnnl::prop_kind::forward_training, algorithm::convolution_direct, input, kernel,
        output, g.strides, dilation, g.before, g.after, attr);
    Fill(made, description, description.weights_desc(), g, with_primitive);
    if (with_primitive) made.primitive = dnnl::convolution_forward(description);
    return made;
  }
  // oneDNN wants a forward description as a hint.
  dnnl::convolution_forward::primitive_desc hint(
      Engine(), dnnl::prop_kind::forward_training, algorithm::convolution_direct, input, kernel,
      output, g.strides, dilation, g.before, g.after, attr);
  if (g.wanted == kInput) {
    dnnl::convolution_backward_data::primitive_desc description(
        Engine(), algorithm::convolution_direct, input, kernel, output, g.strides, dilation,
        g.before, g.after, hint, attr);
    Fill(made, description, description.weights_desc(), g, with_primitive);
    if (with_primitive) made.primitive = dnnl::convolution_backward_data(description);
  } else {
    dnnl::convolution_backward_weights::primitive_desc description(
        Engine(), algorithm::convolution_direct, input, kernel, output, g.strides, dilation,
        g.before, g.after, hint, attr);
    Fill(made, description, description.diff_weights_desc(), g, with_primitive);
    if (with_primitive) made.primitive = dnnl::convolution_backward_weights(description);
  }
  return made;
}

Key KeyOf(const Geometry& g) {
  Key key{g.wanted, g.groups, omp_get_max_threads()};
  for (const Dims* dims :
       {&g.input, &g.kernel, &g.output, &g.strides, &g.dilation, &g.before, &g.after})
    key.insert(key.end(), dims->begin(), dims->end());
  return key;
}

void Run(const Geometry& g, void* input, void* kernel, void* output) {
  static auto* cache = new Cache<Convolution>;
  Convolution& conv = cache->Get(KeyOf(g), [&] { return Make(g); });
  auto aligned = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
  const size_t packed = aligned(conv.packed_bytes);
  char* scratch = static_cast<char*>(
      Scratch(packed + std::max(conv.scratch_bytes, conv.reorder_bytes)));
  conv.input.set_data_handle(input);
  conv.output.set_data_handle(output);
  conv.plain_kernel.set_data_handle(kernel);
  conv.kernel.set_data_handle(conv.packed_bytes ? scratch : kernel);
  conv.scratch.set_data_handle(scratch + packed);
  auto reorder = [&](memory& from, memory& to) {
    if (!conv.packed_bytes) return;
    conv.reorder_scratch.set_data_handle(scratch + packed);
    conv.reorder.execute(Stream(), {{DNNL_ARG_FROM, from},
                                    {DNNL_ARG_TO, to},
                                    {DNNL_ARG_SCRATCHPAD, conv.reorder_scratch}});
  };
  if (g.wanted == kOutput) {
    reorder(conv.plain_kernel, conv.kernel);
    conv.primitive.execute(Stream(), {{DNNL_ARG_SRC, conv.input},
                                      {DNNL_ARG_WEIGHTS, conv.kernel},
                                      {DNNL_ARG_DST, conv.output},
                                      {DNNL_ARG_SCRATCHPAD, conv.scratch}});
  } else if (g.wanted == kInput) {
    reorder(conv.plain_kernel, conv.kernel);
    conv.primitive.execute(Stream(), {{DNNL_ARG_DIFF_SRC, conv.input},
                                      {DNNL_ARG_WEIGHTS, conv.kernel},
                                      {DNNL_ARG_DIFF_DST, conv.output},
                                      {DNNL_ARG_SCRATCHPAD, conv.scratch}});
  } else {
    conv.primitive.execute(Stream(), {{DNNL_ARG_SRC, conv.input},
                                      {DNNL_ARG_DIFF_WEIGHTS, conv.kernel},
                                      {DNNL_ARG_DIFF_DST, conv.output},
                                      {DNNL_ARG_SCRATCHPAD, conv.scratch}});
    reorder(conv.kernel, conv.plain_kernel);
  }
}

using Numbers = ffi::Span<const int64_t>;
using Array = ffi::Buffer<ffi::F32>;

Dims ToDims(Numbers numbers) { return Dims(numbers.begin(), numbers.end()); }

// Operands are those of input, kernel and output that are not wanted, in this order.
ffi::Error Convolve(Array first, Array second, ffi::Result<Array> result, int64_t wanted,
                    int64_t groups, Numbers strides, Numbers dilation, Numbers before,
                    Numbers after) {
  return Guarded([&] {
    if (wanted < kInput || wanted > kOutput) throw Refused("convolution: nothing is wanted.");
    std::array<Dims, 3> shapes;
    std::array<void*, 3> data;
    const Array* operands[] = {&first, &second};
    int next = 0;
    for (int64_t role = kInput; role <= kOutput; ++role) {
      const Array& array = role == wanted ? *result : *operands[next++];
      shapes[role] = ToDims(array.dimensions());
      data[role] = array.untyped_data();
    }
    Geometry g{static_cast<Role>(wanted), shapes[0],        shapes[1],
               shapes[2],                 ToDims(strides),  ToDims(dilation),
               ToDims(before),            ToDims(after),    groups};
    Check(g);
    Run(g, data[kInput], data[kKernel], data[kOutput]);
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_convolution, plait::Convolve,
                              plait::ffi::Ffi::Bind()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Attr<int64_t>("wanted")
                                  .Attr<int64_t>("groups")
                                  .Attr<plait::Numbers>("strides")
                                  .Attr<plait::Numbers>("dilation")
                                  .Attr<plait::Numbers>("before")
                                  .Attr<plait::Numbers>("after"));

// Writes the name of oneDNN's implementation, or nothing if there is none. `rank` numbers stand in
// each of strides, dilation, before and after, two more in each shape.
extern "C" void plait_onednn_convolution_implementation(
    int64_t wanted, int64_t rank, const int64_t* input, const int64_t* kernel,
    const int64_t* output, const int64_t* strides, const int64_t* dilation, const int64_t* before,
    const int64_t* after, int64_t groups, char* name, int64_t length) {
  using plait::Dims;
  auto dims = [](const int64_t* numbers, int64_t count) { return Dims(numbers, numbers + count); };
  name[0] = '\0';
  try {
    plait::Turn turn;
    plait::Geometry g{static_cast<plait::Role>(wanted), dims(input, rank + 2),
                      dims(kernel, rank + 2),           dims(output, rank + 2),
                      dims(strides, rank),              dims(dilation, rank),
                      dims(before, rank),               dims(after, rank),
                      groups};
    plait::Check(g);
    std::strncat(name, plait::Make(g, false).implementation.c_str(), length - 1);
  } catch (const std::exception&) {
  }
}

#pragma GCC visibility pop
