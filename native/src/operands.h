// What handlers read and write, and how XLA calls them.
#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "runtime.h"

namespace plait {

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;
using Numbers = ffi::Span<const int64_t>;
using Dims = dnnl::memory::dims;

inline Dims ToDims(Numbers numbers) { return Dims(numbers.begin(), numbers.end()); }

template <typename Buffer>
Dims DimsOf(const Buffer& array) {
  return ToDims(array.dimensions());
}

template <typename Buffer>
auto* Data(Buffer& array, const Dims& shape, const char* name) {
  if (DimsOf(array) != shape) throw Refused(std::string("the shape of ") + name + " does not fit.");
  return array.typed_data();
}

// The data of an array, or null if it has no elements.
template <typename Buffer>
auto* Optional(Buffer& array, const Dims& shape, const char* name) {
  return array.element_count() == 0 ? nullptr : Data(array, shape, name);
}

template <typename Parameter>
constexpr bool kIsArgument = !std::is_void_v<typename ffi::ArgBinding<Parameter>::Arg>;
template <typename Parameter>
constexpr bool kIsResult = !std::is_void_v<typename ffi::RetBinding<Parameter>::Ret>;

// Binds the pool and the first `count` parameters after it; the last of all have these names.
template <typename Parameters, size_t count>
auto BindFirst(const std::vector<const char*>& names) {
  if constexpr (count == 0) {
    return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>();
  } else {
    using Parameter = std::tuple_element_t<count - 1, Parameters>;
    auto before = [&] { return BindFirst<Parameters, count - 1>(names); };
    if constexpr (kIsArgument<Parameter>)
      return before().template Arg<Parameter>();
    else if constexpr (kIsResult<Parameter>)
      return before().template Ret<typename ffi::RetBinding<Parameter>::Ret>();
    else
      return before().template Attr<Parameter>(
          names[names.size() + count - 1 - std::tuple_size_v<Parameters>]);
  }
}

// How XLA calls a handler: with the pool, then arguments, results and attributes of these names.
template <typename... Parameters, typename... Names>
auto Binding(ffi::Error (*)(ffi::ThreadPool, Parameters...), Names... names) {
  constexpr size_t attributes =
      (size_t{!kIsArgument<Parameters> && !kIsResult<Parameters>} + ...);
  static_assert(sizeof...(names) == attributes, "each attribute has a name");
  return BindFirst<std::tuple<Parameters...>, sizeof...(Parameters)>({names...});
}

}  // namespace plait
