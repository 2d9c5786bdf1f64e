// A convolution is a trilinear form of its input, kernel and output; each of the three is computed
// from the other two: the output forward, the input and the kernel backward.

#include "convolution.h"

#include <array>
#include <cstring>
#include <functional>
#include <numeric>

namespace plait {

void Check(const Geometry& g) {
  const size_t rank = g.strides.size();
  if (rank < 1 || rank > 3 || g.input.size() != rank + 2 || g.kernel.size() != rank + 2 ||
      g.output.size() != rank + 2 || g.dilation.size() != rank || g.before.size() != rank ||
      g.after.size() != rank)
    throw Refused("numbers of axes do not fit.");
  if (g.groups < 1 || g.input.back() != g.kernel[rank] * g.groups ||
      g.output.back() != g.kernel[rank + 1] || g.output.back() % g.groups ||
      g.input[0] != g.output[0])
    throw Refused("batch, channels or groups do not fit.");
  for (const Dims* dims : {&g.input, &g.kernel, &g.output})
    for (int64_t size : *dims)
      if (size < 1) throw Refused("an axis is empty.");
  for (size_t i = 0; i < rank; ++i) {
    const int64_t reach = (g.kernel[i] - 1) * g.dilation[i] + 1;
    const int64_t room = g.input[i + 1] + g.before[i] + g.after[i] - reach;
    if (g.strides[i] < 1 || g.dilation[i] < 1 || g.before[i] < 0 || g.after[i] < 0 || room < 0 ||
        room / g.strides[i] + 1 != g.output[i + 1])
      throw Refused("sizes do not fit.");
  }
}

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t Count(const Dims& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

Parts Split(const Geometry& g, int64_t threads) {
  // Parts are as small as a core's own cache, but not so small that they cost more than they save.
  // Of those that add up to the gradient by a large kernel there are as few as may be.
  constexpr int64_t kCache = 1 << 20, kLeast = 1 << 21, kLargeKernel = 1 << 18;
  const int64_t batch = g.input[0], kernel = Count(g.kernel);
  const int64_t bytes = (Count(g.input) + Count(g.output)) * int64_t{sizeof(float)};
  const int64_t work = 2 * kernel * Count(g.output) / g.output.back();
  int64_t count = g.wanted == kKernel && kernel * int64_t{sizeof(float)} > kLargeKernel
                      ? 1
                      : std::max<int64_t>(bytes / kCache, 1);
  count = (count + threads - 1) / threads * threads;
  count = std::min({count, 8 * threads, batch, std::max<int64_t>(work / kLeast, 1)});
  if (threads == 1) count = 1;
  return {count, batch / count, batch % count};
}

namespace {

using dnnl::memory;

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
  dnnl::memory::desc input, kernel, output, scratch;
  dnnl::memory::desc plain_kernel;  // the kernel as XLA has it
  dnnl::primitive reorder;    // empty if that is how oneDNN wants it
  dnnl::memory::desc reorder_scratch;
  std::string implementation;
};

template <typename Description>
void Fill(Convolution& made, const Description& description, const memory::desc& packed,
          const Geometry& g, bool with_primitive) {
  made.implementation = description.impl_info_str();
  if (!with_primitive) return;
  const auto [dims, strides] = KernelLayout(g.kernel, g.groups);
  made.input = Activations(g.input);
  made.output = Activations(g.output);
  made.kernel = packed;
  made.plain_kernel = memory::desc(dims, memory::data_type::f32, strides);
  made.scratch = description.scratchpad_desc();
  if (packed != made.plain_kernel) {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const bool back = g.wanted == kKernel;
    const memory::desc &from = back ? packed : made.plain_kernel,
                       &to = back ? made.plain_kernel : packed;
    dnnl::reorder::primitive_desc reorder(Engine(), from, Engine(), to, attr);
    made.reorder_scratch = reorder.scratchpad_desc();
    made.reorder = dnnl::reorder(reorder);
  }
}

bool Is(const std::string& name, const char* part) { return name.find(part) != name.npos; }

// Of gradients by the input, oneDNN's second choice is 1.1 to 1.5 times as fast where the window moves
// in steps, or channels fill no two vectors of AVX-512.
bool HasBetter(const std::string& name, int64_t channels) {
  return Is(name, "brgconv_strided:avx512") || (channels < 32 && Is(name, "brgconv:avx512"));
}

Convolution Make(const Geometry& g, bool with_primitive = true) {
  using dnnl::algorithm;
  OneThread alone;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const memory::desc input = Activations(g.input), output = Activations(g.output);
  const memory::desc kernel(KernelLayout(g.kernel, g.groups).first, memory::data_type::f32,
                            memory::format_tag::any);
  Dims dilation = g.dilation;
  for (int64_t& rate : dilation) rate -= 1;
  Convolution made;
  // Gradients want a forward description as a hint.
  dnnl::convolution_forward::primitive_desc forward(
      Engine(), dnnl::prop_kind::forward_training, algorithm::convolution_direct, input, kernel,
      output, g.strides, dilation, g.before, g.after, attr);
  if (g.wanted == kOutput) {
    Fill(made, forward, forward.weights_desc(), g, with_primitive);
    if (with_primitive) made.primitive = dnnl::convolution_forward(forward);
  } else if (g.wanted == kInput) {
    auto describe = [&] {
      return dnnl::convolution_backward_data::primitive_desc(
          Engine(), algorithm::convolution_direct, input, kernel, output, g.strides, dilation,
          g.before, g.after, forward, attr);
    };
    auto description = describe();
    if (HasBetter(description.impl_info_str(), g.input.back() / g.groups) &&
        !(description.next_impl() && Is(description.impl_info_str(), "jit:avx512_core")))
      description = describe();
    Fill(made, description, description.weights_desc(), g, with_primitive);
    if (with_primitive) made.primitive = dnnl::convolution_backward_data(description);
  } else {
    dnnl::convolution_backward_weights::primitive_desc description(
        Engine(), algorithm::convolution_direct, input, kernel, output, g.strides, dilation,
        g.before, g.after, forward, attr);
    Fill(made, description, description.diff_weights_desc(), g, with_primitive);
    if (with_primitive) made.primitive = dnnl::convolution_backward_weights(description);
  }
  return made;
}

std::shared_ptr<const Convolution> Cached(const Geometry& g) {
  static auto* cache = new Cache<Convolution>;
  Key key{g.wanted, g.groups};
  for (const Dims* dims :
       {&g.input, &g.kernel, &g.output, &g.strides, &g.dilation, &g.before, &g.after})
    key.insert(key.end(), dims->begin(), dims->end());
  return cache->Get(key, [&] { return Make(g); });
}

// Changes the layout of a kernel; `scratch` has room for what that needs.
void Reorder(const Convolution& conv, const memory::desc& from, void* from_data,
             const memory::desc& to, void* to_data, void* scratch) {
  conv.reorder.execute(Stream(),
                       {{DNNL_ARG_FROM, memory(from, Engine(), from_data)},
                        {DNNL_ARG_TO, memory(to, Engine(), to_data)},
                        {DNNL_ARG_SCRATCHPAD, memory(conv.reorder_scratch, Engine(), scratch)}});
}

class WithOneDnn final : public PartedConvolution {
 public:
  WithOneDnn(const Geometry& g, const Parts& parts) : PartedConvolution(g, parts) {
    for (int larger = 0; larger < (parts.larger ? 2 : 1); ++larger) {
      Geometry part = g;
      part.input[0] = part.output[0] = parts.size + larger;
      made_[larger] = Cached(part);
    }
  }

  size_t Bytes() const override {
    size_t bytes = PartedConvolution::Bytes();
    for (const auto& made : made_)
      if (wanted_ != kKernel && made && made->reorder)
        bytes += Aligned(made->kernel.get_size()) + Aligned(made->reorder_scratch.get_size());
    return bytes;
  }

  void Begin(float* kernel, char* memory) override {
    PartedConvolution::Begin(kernel, memory);
    if (wanted_ == kKernel) return;
    OneThread alone;
    for (int larger = 0; larger < 2; ++larger) {
      packed_[larger] = kernel;
      if (!made_[larger] || !made_[larger]->reorder) continue;
      const Convolution& conv = *made_[larger];
      char* scratch = memory + Aligned(conv.kernel.get_size());
      Reorder(conv, conv.plain_kernel, kernel, conv.kernel, memory, scratch);
      packed_[larger] = memory;
      memory = scratch + Aligned(conv.reorder_scratch.get_size());
    }
  }

  void Run(int64_t part, float* input, float* output) const override {
    constexpr int kNames[3][3] = {{DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                  {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
                                  {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}};
    OneThread alone;
    const bool larger = part < parts_.larger, adds = wanted_ == kKernel;
    const Convolution& conv = *made_[larger];
    const size_t repacked = adds && conv.reorder ? Aligned(conv.kernel.get_size()) : 0;
    const size_t reorder = repacked ? conv.reorder_scratch.get_size() : 0;
    char* scratch = static_cast<char*>(
        Memory(Scratch::kOfConvolution, repacked + std::max(conv.scratch.get_size(), reorder)));
    void* kernel =
        !adds ? packed_[larger] : repacked ? static_cast<void*>(scratch) : KernelOf(part);
    const int* names = kNames[wanted_];
    conv.primitive.execute(
        Stream(), {{names[kInput], memory(conv.input, Engine(), input)},
                   {names[kKernel], memory(conv.kernel, Engine(), kernel)},
                   {names[kOutput], memory(conv.output, Engine(), output)},
                   {DNNL_ARG_SCRATCHPAD, memory(conv.scratch, Engine(), scratch + repacked)}});
    if (repacked)
      Reorder(conv, conv.kernel, kernel, conv.plain_kernel, KernelOf(part), scratch + repacked);
  }

 private:
  std::shared_ptr<const Convolution> made_[2];
  void* packed_[2] = {};
};

}  // namespace

std::unique_ptr<PartedConvolution> MakeWithOneDnn(const Geometry& g, const Parts& parts) {
  return std::make_unique<WithOneDnn>(g, parts);
}

std::unique_ptr<PartedConvolution> PartedConvolution::Make(const Geometry& g, const Parts& parts) {
  return IsForWinograd(g) ? MakeWinograd(g, parts) : MakeWithOneDnn(g, parts);
}

// Of kernels that add up each part but the first has its own.
size_t PartedConvolution::Bytes() const {
  return wanted_ == kKernel ? (parts_.count - 1) * Aligned(numbers_ * sizeof(float)) : 0;
}

void PartedConvolution::Begin(float* kernel, char* memory) { kernel_ = kernel, memory_ = memory; }

float* PartedConvolution::KernelOf(int64_t part) const {
  if (wanted_ != kKernel || part == 0) return kernel_;
  return reinterpret_cast<float*>(memory_ + (part - 1) * Aligned(numbers_ * sizeof(float)));
}

void PartedConvolution::End(Team& team) const {
  if (wanted_ == kKernel)
    team.AddUp(kernel_, numbers_, parts_.count, [&](int64_t part) { return KernelOf(part); });
}

namespace {

// Operands are those of input, kernel and output that are not wanted, in this order.
ffi::Error Convolve(ffi::ThreadPool pool, Array first, Array second, Result result,
                    int64_t wanted, int64_t groups, Numbers strides, Numbers dilation,
                    Numbers before, Numbers after) {
  return Guarded("convolution", [&] {
    if (wanted < kInput || wanted > kOutput) throw Refused("nothing is wanted.");
    std::array<Dims, 3> shapes;
    std::array<float*, 3> data;
    const Array* operands[] = {&first, &second};
    int next = 0;
    for (int64_t role = kInput; role <= kOutput; ++role) {
      const Array& array = role == wanted ? *result : *operands[next++];
      shapes[role] = DimsOf(array);
      data[role] = array.typed_data();
    }
    Geometry g{static_cast<Role>(wanted), shapes[0],        shapes[1],
               shapes[2],                 ToDims(strides),  ToDims(dilation),
               ToDims(before),            ToDims(after),    groups};
    Check(g);
    Team team(pool);
    const Parts parts = Split(g, team.threads());
    const auto convolution = PartedConvolution::Make(g, parts);
    const size_t bytes = convolution->Bytes();
    convolution->Begin(data[kKernel],
                       bytes ? static_cast<char*>(Memory(Scratch::kOfCall, bytes)) : nullptr);
    const int64_t of_input = Count(g.input) / g.input[0], of_output = Count(g.output) / g.output[0];
    team.Each(parts.count, [&](int64_t part) {
      const int64_t first = parts.First(part);
      convolution->Run(part, data[kInput] + first * of_input, data[kOutput] + first * of_output);
    });
    convolution->End(team);
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_convolution, plait::Convolve,
                              plait::Binding(plait::Convolve, "wanted", "groups", "strides",
                                             "dilation", "before", "after"));

// Writes the name of what computes it, "winograd" or oneDNN's, or nothing if nothing does. `rank`
// numbers stand in each of strides, dilation, before and after, two more in each shape.
extern "C" void plait_onednn_convolution_implementation(
    int64_t wanted, int64_t rank, const int64_t* input, const int64_t* kernel,
    const int64_t* output, const int64_t* strides, const int64_t* dilation, const int64_t* before,
    const int64_t* after, int64_t groups, char* name, int64_t length) {
  using plait::Dims;
  auto dims = [](const int64_t* numbers, int64_t count) { return Dims(numbers, numbers + count); };
  name[0] = '\0';
  try {
    plait::Geometry g{static_cast<plait::Role>(wanted), dims(input, rank + 2),
                      dims(kernel, rank + 2),           dims(output, rank + 2),
                      dims(strides, rank),              dims(dilation, rank),
                      dims(before, rank),               dims(after, rank),
                      groups};
    plait::Check(g);
    const std::string made =
        plait::IsForWinograd(g) ? "winograd" : plait::Make(g, false).implementation;
    std::strncat(name, made.c_str(), length - 1);
  } catch (const std::exception&) {
  }
}

#pragma GCC visibility pop
