# ruff: noqa: E501
"""One call of every operation: `(name, arguments, keyword arguments)`."""

import numpy as np

rng = np.random.default_rng(0)


def floats(*shape, low=0.1, high=0.9):
    return rng.uniform(low, high, shape).astype("float32")


def ints(*shape, high=4):
    return rng.integers(0, high, shape).astype("int32")


X, Y, Z = floats(4, 3), floats(4, 3), floats(4, 3, 2)
SIGNED = floats(4, 3, low=-2, high=2)
N, M = ints(4, 3), ints(4, 3) + 1
BOOL = SIGNED > 0
SQUARE = floats(4, 3, 3) + 3 * np.eye(3, dtype="float32")
SPD = SQUARE @ SQUARE.transpose(0, 2, 1)
NAN = np.where(BOOL, SIGNED, np.nan).astype("float32")
IMAGES, FIRST = floats(4, 6, 8, 3), floats(4, 3, 6, 8)
KERNEL = floats(3, 3, 3, 5)
SEQ = floats(4, 10, 3)
HEADS = floats(4, 5, 2, 8)
PAIR = (floats(4, 8), floats(4, 8))

UNARY = """
abs absolute angle arccos arcsin arcsinh arctan arctanh cbrt ceil conj conjugate copy cos cosh
deg2rad erf erfc erfinv exp exp2 expm1 fabs floor i0 imag isfinite isinf isnan isneginf isposinf
isreal log log10 log1p log2 logical_not negative rad2deg real reciprocal rsqrt sign signbit sin
sinc sinh sqrt square tan tanh trunc hard_sigmoid hard_silu hard_swish hard_tanh log_sigmoid relu
relu6 selu sigmoid silu softplus softsign sparse_plus sparse_sigmoid swish tanh_shrink celu elu
gelu leaky_relu hard_shrink soft_shrink squareplus softmax log_softmax normalize rms_normalization
layer_normalization round nan_to_num stop_gradient
"""
OF_INTS = """
abs arccos arcsinh arctan ceil cos cosh exp exp2 expm1 floor log log1p log2 log10 logical_not
negative rad2deg deg2rad sign sin sinc sinh sqrt square tan tanh trunc relu i0 isnan isfinite mean
sum std var median max min prod cumsum any all argmax bitwise_not bitwise_invert angle
"""
BINARY = """
add arctan2 divide divide_no_nan equal floor_divide fmax fmin fmod greater greater_equal heaviside
hypot isclose less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor maximum
minimum mod multiply nextafter not_equal power subtract true_divide allclose append
"""
BITWISE = """
bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor left_shift right_shift
"""
REDUCTIONS = """
amax amin argmax argmin logsumexp max mean median min prod ptp std sum var nanmax nanmean
nanmedian nanmin nanprod nanstd nansum nanvar nanargmax nanargmin all any
"""


def case(name, *args, **kwargs):
    return name, args, kwargs


CASES = [
    *[case(name, X) for name in UNARY.split()],
    *[case(name, N) for name in OF_INTS.split()],
    *[case(name, SIGNED) for name in ("ceil", "floor", "trunc", "round", "sign", "relu6", "isinf")],
    case("arccosh", X + 1),
    *[case(name, X, Y) for name in BINARY.split()],
    *[case(name, N, 2.5) for name in ("add", "subtract", "multiply", "power", "maximum", "less")],
    *[case(name, 2, X) for name in ("add", "subtract", "divide", "mod", "power", "not_equal")],
    *[case(name, N, M) for name in ("add", "divide", "floor_divide", "mod", "power", "gcd", "lcm")],
    case("ldexp", X, N),
    *[case(name, N, M) for name in BITWISE.split()],
    *[case(name, X, axis=1) for name in REDUCTIONS.split()],
    *[case(name, X, axis=-1, keepdims=True) for name in REDUCTIONS.split()],
    *[case(name, NAN, axis=0) for name in ("nanmax", "nanmean", "nansum", "nancumsum", "nancumprod")],
    case("sum", Z, axis=[0, 2]),
    case("mean", Z.astype("float16"), (1, 2)),
    case("max", X, 1, initial=0.5),
    case("any", BOOL), case("all", BOOL, axis=0),
    case("cumsum", X, axis=1), case("cumprod", X, axis=1, dtype="float16"),
    case("nancumsum", NAN, axis=1), case("nancumprod", NAN, axis=1),
    case("quantile", X, 0.3, axis=1), case("quantile", X, [0.2, 0.7], axis=1, keepdims=True),
    case("percentile", X, 30, axis=1), case("nanquantile", NAN, 0.3, axis=0),
    case("nanpercentile", NAN, 30.0, axis=0, method="nearest"),
    case("average", X, axis=1, weights=[0.2, 0.3, 0.5]), case("average", N),
    case("bincount", N[0], minlength=6), case("bincount", N), case("bincount", N, weights=X),
    case("count_nonzero", N, axis=1), case("histogram", X.ravel(), bins=4, range=(0, 1)),
    case("trapezoid", X, dx=0.5), case("trapezoid", X, Y),
    # shapes
    case("append", X, Y, axis=1), case("array_split", X, 2, axis=1),
    case("broadcast_to", X, (2, 4, 3)), case("concatenate", [X, Y], axis=-1),
    case("concatenate", [N, Y]), case("stack", [X, Y], axis=1), case("hstack", [X, Y]),
    case("vstack", [X, Y]), case("dstack", [X, Y]), case("dsplit", Z, 2), case("hsplit", X, 3),
    case("vsplit", X, 2), case("split", X, 3, axis=1), case("split", X, [1], axis=1),
    case("unstack", X, axis=1), case("unstack", X, num=3, axis=-1),
    case("depth_to_space", floats(4, 2, 3, 8), 2), case("space_to_depth", IMAGES, 2),
    case("depth_to_space", floats(4, 8, 2, 3), 2, data_format="channels_first"),
    case("space_to_depth", FIRST, 2, data_format="channels_first"),
    case("diag", X[0]), case("diag", X, k=1), case("diagflat", X[0]), case("diagonal", Z, 0, 1, 2),
    case("diff", X), case("expand_dims", X, 1), case("expand_dims", X, (0, -1)),
    case("flip", X, axis=1), case("fliplr", X), case("flipud", X), case("meshgrid", X[0], Y[0]),
    case("meshgrid", X[0], Y[:, 0], indexing="ij"), case("moveaxis", Z, 1, -1),
    case("pad", X, ((0, 0), (1, 2))), case("pad", X, [[0, 0], [2, 1]], constant_values=3.0),
    case("pad", X, ((0, 0), (1, 1)), mode="reflect"), case("ravel", X),
    case("rearrange", Z, "b (h p) c -> b h (p c)", p=3), case("rearrange", Z, "b h c -> (b c) h"),
    case("repeat", X, 2, axis=1), case("repeat", X, np.array([1, 2, 3]), axis=1), case("repeat", X, 2),
    case("reshape", Z, (-1, 6)), case("reshape", Z, (4, -1)), case("roll", X, 1, axis=1),
    case("roll", X, 2), case("rot90", Z, k=1, axes=(1, 2)), case("squeeze", X[:, :, None], axis=-1),
    case("squeeze", X[:, :, None]), case("swapaxes", Z, 1, 2), case("tile", X, (1, 2)),
    case("tile", X, 2), case("transpose", Z), case("transpose", Z, (0, 2, 1)),
    case("tril", SQUARE), case("triu", SQUARE, k=1), case("vander", X[0]),
    case("view", X, "int32"), case("view_as_complex", Z),
    case("view_as_real", (X + 1j * Y).astype("complex64")), case("polar", X, Y),
    # creation
    case("arange", 5), case("arange", 1, 4, 0.5), case("arange", 3, dtype="float32"),
    case("array", [[1.0, 2.0], [3.0, 4.0]]), case("array", X, dtype="int32"), case("empty", (2, 0)),
    case("eye", 3), case("eye", 2, 3, k=1, dtype="int32"), case("full", (2, 3), 1.5),
    case("full", (2,), 1, dtype="int32"), case("full_like", X, 3), case("geomspace", 1.0, 8.0, 4),
    case("identity", 3), case("linspace", 0.0, 1.0, 5), case("linspace", X, Y, 4, axis=-1),
    case("logspace", 0.0, 1.0, 3), case("ones", (2, 3)), case("ones_like", X, dtype="int32"),
    case("tri", 3, 4), case("zeros", (2,), dtype="bool"), case("zeros", 3), case("zeros_like", N),
    case("bartlett", 5), case("blackman", 5), case("hamming", 5), case("hanning", 5),
    case("kaiser", 5, 8.0), case("empty_like", X[:0]),
    # elements
    case("cast", X, "float16"), case("cast", X, "bool"), case("cast", N, float),
    case("saturate_cast", SIGNED * 300, "uint8"), case("saturate_cast", N, "float16"),
    case("saturate_cast", SIGNED * 1e10, "int32"),
    case("clip", SIGNED, -1, 0.5), case("clip", N, 1, 2), case("clip", BOOL, 0, 1),
    case("round", SIGNED, 1), case("round", N * 7, -1), case("nan_to_num", NAN, nan=2.0),
    case("gelu", SIGNED, approximate=False), case("leaky_relu", SIGNED, negative_slope=0.3),
    case("elu", SIGNED, alpha=0.5), case("celu", SIGNED, 0.5), case("soft_shrink", SIGNED, 0.2),
    case("hard_shrink", SIGNED, 0.3), case("squareplus", SIGNED, b=2), case("selu", SIGNED),
    case("threshold", SIGNED, 0.2, 7.0), case("glu", Z, axis=-1), case("softmax", Z, axis=(1, 2)),
    case("log_softmax", Z, axis=1),
    case("where", BOOL, X, 0.0), case("where", BOOL, N, X), case("isin", N, [1, 2]),
    case("isin", N, [1], invert=True), case("digitize", X, np.array([0.2, 0.5])),
    case("select", [X > 0.7, X > 0.4], [X, Y], default=2.0), case("isclose", X, X + 1e-7),
    # picking and placing
    case("take", X, [2, 0], axis=1), case("take", X, 1, axis=1), case("take", X, N),
    case("take_along_axis", X, N % 3, axis=1), case("get_item", X, (slice(None), 1)),
    case("get_item", X, (Ellipsis, None, slice(None, None, 2))), case("get_item", X, (slice(1, 3), [0, 2])),
    case("slice", X, (0, 1), (4, 2)), case("slice", X, [1, 1], [-1, 1]),
    case("slice_update", X, [0, 1], Y[:, :2]), case("scatter", np.array([[0], [2], [0], [3]]), X, (5, 3)),
    case("scatter_update", X, [[0, 1], [2, 2]], [7.0, 8.0]),
    case("scatter_update", X, [[0, 1], [0, 1]], [7.0, 8.0], reduction="add"),
    case("scatter_update", X, [[0, 1], [0, 1]], [7.0, 8.0], reduction="max"),
    case("scatter_update", X, [[0, 1], [0, 1]], [7.0, 8.0], reduction="mul"),
    case("sort", X, axis=1), case("argsort", X), case("argsort", X, axis=0),
    case("argpartition", X, 1), case("argpartition", X, 3, axis=None), case("top_k", X, 2),
    case("in_top_k", N[:, 0] % 3, X, 2), case("searchsorted", np.array([0.2, 0.5], "float32"), X),
    case("searchsorted", [1, 2], N, side="right"),
    *[case(f"segment_{how}", X, np.array([0, 1, 0, 2]), num_segments=4) for how in ("sum", "max", "min", "prod")],
    case("segment_sum", X, np.array([0, 0, 1, 2]), 3, sorted=True),
    case("nonzero", N), case("unique", N), case("unique", N, return_index=True, return_counts=True),
    case("unravel_index", N[:, 0], (2, 3)), case("where", BOOL),
    case("one_hot", N, 4), case("one_hot", N, 5, axis=1, dtype="int32"), case("multi_hot", N, 4),
    case("multi_hot", N[0], num_classes=5),
    # algebra
    case("dot", X, Y.T), case("inner", X, Y), case("kron", X, Y), case("outer", X[0], Y[0]),
    case("vdot", X, Y), case("matmul", X, Y.T), case("matmul", SQUARE, SPD), case("matmul", N, M.T),
    case("matmul", N.astype("int8"), M.T.astype("int8")), case("einsum", "ij,kj->ik", X, Y),
    case("einsum", "bij,bjk->bik", SQUARE, SPD), case("tensordot", X, Y, axes=[[1], [1]]),
    case("tensordot", SQUARE, SPD, axes=[2, 1]), case("cross", X, Y),
    case("trace", SQUARE, axis1=1, axis2=2), case("cdist", X, Y), case("cdist", Z, Z),
    case("corrcoef", X), case("correlate", X[0], Y[0], mode="full"),
    case("cholesky", SPD), case("cholesky", SPD, upper=True), case("cholesky_inverse", np.linalg.cholesky(SPD[0])),
    case("cholesky_inverse", np.linalg.cholesky(SPD[0]).T.copy(), upper=True), case("det", SQUARE), case("inv", SQUARE),
    case("eig", SQUARE), case("eigh", SPD), case("lstsq", SQUARE[0], X[0]), case("lu_factor", SQUARE),
    case("matrix_rank", SQUARE), case("norm", SIGNED), case("norm", SIGNED, ord=1, axis=1), case("norm", N, axis=1, keepdims=True),
    case("pinv", SQUARE), case("qr", SQUARE), case("qr", X, mode="complete"), case("solve", SQUARE, Z[:, :3]),
    case("solve_triangular", np.tril(SQUARE), Z, lower=True), case("svd", X, compute_uv=False),
    case("logdet", SPD), case("slogdet", SPD),
    # signals
    case("fft", PAIR), case("fft2", PAIR), case("ifft2", PAIR), case("rfft", PAIR[0]),
    case("rfft", PAIR[0], fft_length=6), case("irfft", PAIR), case("irfft", PAIR, fft_length=10),
    case("extract_sequences", PAIR[0], 4, 2), case("stft", floats(4, 40), 8, 4, 16),
    case("stft", floats(4, 40), 8, 4, 8, window="hamming", center=False),
    case("stft", floats(4, 40), 8, 4, 8, window=None),
    case("istft", (floats(4, 11, 9), floats(4, 11, 9)), 16, 4, 16),
    case("istft", (floats(4, 11, 9), floats(4, 11, 9)), 12, 4, 16, length=30, window="hamming"),
    # networks
    case("normalize", SIGNED, axis=0), case("normalize", SIGNED, order=3), case("normalize", np.zeros((4, 3), "float32")),
    case("moments", Z, axes=[1]), case("moments", Z.astype("float16"), axes=(1, 2), keepdims=True),
    case("batch_normalization", X, Y[0], Y[1], -1, offset=X[0], scale=X[1]),
    case("batch_normalization", Z, X[0], Y[0], 1, epsilon=0.1),
    case("layer_normalization", Z, Z[0, 0], Z[0, 1]), case("layer_normalization", Z, X[0], axis=1, epsilon=0.1),
    case("layer_normalization", Z, Z[0], axis=[1, 2]), case("layer_normalization", X.astype("float16")),
    case("rms_normalization", X, Y[0]), case("rms_normalization", Z, axis=(1, 2), epsilon=0.1),
    case("dot_product_attention", HEADS, HEADS, HEADS),
    case("dot_product_attention", HEADS, HEADS, HEADS, mask=floats(4, 1, 5, 5) > 0.3, is_causal=True),
    case("dot_product_attention", HEADS, HEADS, HEADS, bias=floats(4, 2, 5, 5), scale=0.3),
    case("binary_crossentropy", X, Y), case("binary_crossentropy", X, SIGNED, from_logits=True),
    case("categorical_crossentropy", X, Y), case("categorical_crossentropy", Z, Z, axis=1),
    case("categorical_crossentropy", X, SIGNED, from_logits=True),
    case("sparse_categorical_crossentropy", N[:, 0] % 3, Y),
    case("sparse_categorical_crossentropy", N[:, :1] % 3, SIGNED, from_logits=True),
    case("psnr", X, Y, 1.0),
    case("conv", IMAGES, KERNEL), case("conv", IMAGES, KERNEL, strides=2, padding="same"),
    case("conv", SEQ, floats(3, 3, 4), dilation_rate=2), case("conv", IMAGES, floats(3, 3, 1, 6)),
    case("conv", FIRST, KERNEL, data_format="channels_first", strides=(1, 2)),
    case("conv_transpose", IMAGES, floats(3, 3, 5, 3), strides=2),
    case("conv_transpose", IMAGES, floats(3, 3, 5, 3), 2, "same", output_padding=1),
    case("depthwise_conv", IMAGES, floats(3, 3, 3, 2)), case("depthwise_conv", SEQ, floats(3, 3, 2), padding="same"),
    case("separable_conv", IMAGES, floats(3, 3, 3, 2), floats(1, 1, 6, 4)),
    case("max_pool", IMAGES, 2, 2), case("max_pool", IMAGES, (3, 2), strides=2, padding="same"),
    case("average_pool", IMAGES, 2, 2), case("average_pool", IMAGES, 3, 1, "same"),
    case("average_pool", FIRST, 2, 2, data_format="channels_first"),
    *[case(f"adaptive_{kind}_pool", x, size) for kind in ("average", "max")
      for x, size in ((SEQ, 4), (IMAGES, (4, 3)), (IMAGES, 2), (floats(2, 5, 4, 3, 2), (2, 3, 2)))],
    case("adaptive_max_pool", FIRST, (4, 5), data_format="channels_first"),
    case("unfold", FIRST, 2), case("unfold", FIRST, (3, 2), dilation=1, padding=1, stride=2),
    case("fold", floats(4, 12, 35), (6, 8), 2), case("fold", floats(4, 12, 9), (6, 6), 2, stride=2),
    case("fold", floats(4, 8, 49), (6, 6), 2, padding=1, stride=1),
    # images
    case("image.rgb_to_grayscale", IMAGES), case("image.rgb_to_grayscale", FIRST, data_format="channels_first"),
    case("image.rgb_to_hsv", IMAGES), case("image.hsv_to_rgb", IMAGES), case("image.rgb_to_hsv", IMAGES[0]),
    case("image.resize", IMAGES, (3, 5)), case("image.resize", IMAGES[0], (12, 9), "nearest"),
    case("image.resize", IMAGES, (5, 4), "bicubic", antialias=True, crop_to_aspect_ratio=True),
    case("image.resize", IMAGES, (5, 4), pad_to_aspect_ratio=True, fill_value=2.0),
    case("image.resize", (IMAGES * 255).astype("uint8"), (9, 9)),
    case("image.resize", FIRST, (3, 5), data_format="channels_first"),
    case("image.crop_images", IMAGES, 1, 2, target_height=3, target_width=4),
    case("image.crop_images", IMAGES, 1, 2, 1, 0),
    case("image.pad_images", IMAGES, 1, 2, target_height=9, target_width=11),
    case("image.pad_images", IMAGES[0], 1, 2, 0, 1),
    case("image.extract_patches", IMAGES, 2), case("image.extract_patches", IMAGES, (3, 2), strides=1, padding="same"),
    case("image.extract_patches", IMAGES[0], 3, dilation_rate=1),
    case("image.extract_patches_3d", floats(4, 4, 6, 4, 2), 2), case("image.extract_patches", floats(4, 4, 6, 4, 2), (2, 3, 2)),
    case("image.gaussian_blur", IMAGES, (3, 5), (1.0, 0.7), data_format="channels_last"),
    case("image.gaussian_blur", IMAGES[0], data_format="channels_last"),
    case("image.sobel_edges", IMAGES), case("image.ssim", floats(4, 14, 15, 3), floats(4, 14, 15, 3)),
    case("image.ssim", FIRST, FIRST[::-1], filter_size=5, max_val=2.0, data_format="channels_first"),
    case("image.map_coordinates", X, floats(2, 5, low=0, high=3), order=1),
    case("image.map_coordinates", X, floats(2, 5, low=-1, high=4), order=0, fill_mode="nearest"),
    case("image.scale_and_translate", IMAGES, (4, 9, 9, 3), [1.2, 1.3], [0.5, 1.0], (1, 2), "linear"),
]  # fmt: skip

VALUE_DEPENDENT = """
arange array bartlett bincount blackman empty eye full geomspace hamming hanning histogram identity
isreal kaiser linspace logspace nonzero ones tri unique zeros
"""
