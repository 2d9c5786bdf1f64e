"""How Keras 3 names and splits the functions of `plait.ops` when it writes a graph.

An operation of Keras is an object: some arguments of its function are its configuration, the
rest are passed when it is called. `tests/saving/test_every_layer.py` crosses some of each kind.
"""

from __future__ import annotations

MODULES = {
    "core": """
        associative_scan cast cond fori_loop map saturate_cast scan scatter scatter_update
        slice slice_update stop_gradient switch unstack vectorized_map while_loop
    """,
    "image": """
        crop_images extract_patches extract_patches_3d gaussian_blur hsv_to_rgb
        map_coordinates pad_images resize rgb_to_grayscale rgb_to_hsv scale_and_translate
        sobel_edges ssim
    """,
    "linalg": """
        cholesky cholesky_inverse det eig eigh inv lstsq lu_factor matrix_rank norm pinv qr
        solve solve_triangular svd
    """,
    "math": """
        cdist erf erfc erfinv extract_sequences fft fft2 ifft2 in_top_k irfft istft logdet
        logsumexp rfft rsqrt segment_max segment_min segment_prod segment_sum stft top_k
        view_as_complex view_as_real
    """,
    "nn": """
        adaptive_average_pool adaptive_max_pool average_pool batch_normalization
        binary_crossentropy categorical_crossentropy celu conv conv_transpose depth_to_space
        depthwise_conv dot_product_attention elu fold gelu glu hard_shrink hard_sigmoid
        hard_silu hard_tanh layer_normalization leaky_relu log_sigmoid log_softmax max_pool
        moments multi_hot normalize one_hot polar psnr relu relu6 rms_normalization selu
        separable_conv sigmoid silu soft_shrink softmax softplus softsign space_to_depth
        sparse_categorical_crossentropy sparse_plus sparse_sigmoid sparsemax squareplus
        tanh_shrink threshold unfold
    """,
    "numpy": """
        abs absolute add all allclose amax amin angle any append arange arccos arccosh arcsin
        arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort array array_split
        average bincount bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or
        bitwise_right_shift bitwise_xor broadcast_to cbrt ceil clip concatenate conj conjugate
        copy corrcoef correlate cos cosh count_nonzero cross cumprod cumsum deg2rad diag
        diagflat diagonal diff digitize divide divide_no_nan dot dsplit dstack einsum
        empty_like equal exp exp2 expand_dims expm1 fabs flip fliplr flipud floor floor_divide
        fmax fmin fmod full full_like gcd geomspace get_item greater greater_equal heaviside
        histogram hsplit hstack hypot i0 imag inner isclose isfinite isin isinf isnan isneginf
        isposinf isreal kron lcm ldexp left_shift less less_equal linspace log log10 log1p
        log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logspace
        matmul max maximum mean median meshgrid min minimum mod moveaxis multiply nan_to_num
        nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile
        nanprod nanquantile nanstd nansum nanvar negative nextafter nonzero not_equal
        ones_like outer pad percentile power prod ptp quantile rad2deg ravel real reciprocal
        repeat reshape right_shift roll rot90 round searchsorted select sign signbit sin sinc
        sinh slogdet sort split sqrt square squeeze stack std subtract sum swapaxes take
        take_along_axis tan tanh tensordot tile trace transpose trapezoid tril triu
        true_divide trunc unique unravel_index vander var vdot view vsplit vstack where
        zeros_like
    """,
}

CLASSES = {
    "abs": "Absolute",
    "allclose": "AllClose",
    "batch_normalization": "BatchNorm",
    "cdist": "CDist",
    "conj": "Conjugate",
    "deg2rad": "Deg2rad",
    "fft": "FFT",
    "fft2": "FFT2",
    "ifft2": "IFFT2",
    "image.extract_patches_3d": "ExtractPatches",
    "image.hsv_to_rgb": "HSVToRGB",
    "image.rgb_to_grayscale": "RGBToGrayscale",
    "image.rgb_to_hsv": "RGBToHSV",
    "image.ssim": "SSIM",
    "irfft": "IRFFT",
    "isin": "IsIn",
    "istft": "ISTFT",
    "layer_normalization": "LayerNorm",
    "log1p": "Log1p",
    "psnr": "PSNR",
    "rad2deg": "Rad2deg",
    "rfft": "RFFT",
    "rms_normalization": "RMSNorm",
    "searchsorted": "SearchSorted",
    "stft": "STFT",
    "svd": "SVD",
}

SETTINGS = {
    "N increasing": "vander",
    "alpha": "celu elu",
    "approximate": "gelu",
    "assume_unique invert": "isin",
    "axes": "tensordot transpose",
    "axes keepdims synchronized": "moments",
    "axis": """
        append argsort average concatenate count_nonzero expand_dims flip glu
        log_softmax softmax sort sparsemax squeeze stack take take_along_axis
    """,
    "axis dtype": "cumprod cumsum nancumprod nancumsum",
    "axis epsilon": "batch_normalization layer_normalization rms_normalization",
    "axis keepdims": """
        all amax amin any argmax argmin logsumexp mean median nanargmax nanargmin nanmax
        nanmean nanmedian nanmin nanprod nanstd nansum nanvar ptp std sum var
    """,
    "axis keepdims dtype": "prod",
    "axis keepdims initial": "max min",
    "axis method keepdims": "nanpercentile nanquantile percentile quantile",
    "axis order epsilon": "normalize",
    "axis1 axis2": "swapaxes",
    "axisa axisb axisc axis": "cross",
    "b": "squareplus",
    "bins range": "histogram",
    "block_size data_format": "depth_to_space space_to_depth",
    "cond body maximum_iterations": "while_loop",
    "data_format": "image.hsv_to_rgb image.rgb_to_grayscale image.rgb_to_hsv image.sobel_edges",
    "decimals": "round",
    "dtype": "arange array cast empty_like full_like ones_like saturate_cast view zeros_like",
    "equal_nan": "isclose",
    "fft_length": "irfft rfft",
    "from_logits": "binary_crossentropy",
    "from_logits axis": "categorical_crossentropy sparse_categorical_crossentropy",
    "full_matrices compute_uv": "svd",
    "function": "vectorized_map",
    "indexing": "meshgrid",
    "indices_or_sections": "dsplit hsplit vsplit",
    "indices_or_sections axis": "array_split split",
    "is_causal flash_attention attn_logits_soft_cap": "dot_product_attention",
    "k": "diag diagflat in_top_k tril triu",
    "k axes": "rot90",
    "k sorted": "top_k",
    "kernel_size dilation padding stride": "unfold",
    "kernel_size sigma data_format": "image.gaussian_blur",
    "kth axis": "argpartition",
    "length reverse unroll": "scan",
    "lower": "solve_triangular",
    "lower upper body_fun": "fori_loop",
    "max_val": "psnr",
    "max_val filter_size filter_sigma k1 k2 data_format": "image.ssim",
    "mode": "correlate qr",
    "n axis": "diff",
    "nan posinf neginf": "nan_to_num",
    "negative_slope": "leaky_relu",
    "newshape": "reshape",
    "num axis": "unstack",
    "num endpoint base dtype axis": "logspace",
    "num endpoint dtype axis": "geomspace",
    "num endpoint retstep dtype axis": "linspace",
    "num_classes axis dtype sparse": "one_hot",
    "num_classes axis dtype sparse kwargs": "multi_hot",
    "num_segments sorted": "segment_max segment_min segment_prod segment_sum",
    "offset axis1 axis2": "diagonal trace",
    "ord axis keepdims": "norm",
    "order fill_mode fill_value": "image.map_coordinates",
    "output_size data_format": "adaptive_average_pool adaptive_max_pool",
    "output_size kernel_size dilation padding stride": "fold",
    "pad_width mode": "pad",
    "pool_size strides padding data_format": "average_pool max_pool",
    "rcond": "lstsq pinv",
    "reduction": "scatter_update",
    "repeats": "tile",
    "repeats axis": "repeat",
    "reverse axis": "associative_scan",
    "rtol atol equal_nan": "allclose",
    "sequence_length sequence_stride": "extract_sequences",
    "sequence_length sequence_stride fft_length length window center": "istft",
    "sequence_length sequence_stride fft_length window center": "stft",
    "shape": "broadcast_to scatter slice unravel_index",
    "shape dtype": "full",
    "shift axis": "roll",
    "side": "searchsorted",
    "size interpolation antialias crop_to_aspect_ratio "
    "pad_to_aspect_ratio fill_mode fill_value data_format": """
        image.resize
    """,
    "size strides dilation_rate padding data_format": """
        image.extract_patches image.extract_patches_3d
    """,
    "sorted return_index return_inverse return_counts axis size fill_value": "unique",
    "source destination": "moveaxis",
    "spatial_dims method antialias": "image.scale_and_translate",
    "strides padding data_format dilation_rate": "conv depthwise_conv separable_conv",
    "strides padding output_padding data_format dilation_rate": "conv_transpose",
    "subscripts": "einsum",
    "threshold": "hard_shrink soft_shrink",
    "threshold default_value": "threshold",
    "tol": "matrix_rank",
    "top_cropping left_cropping bottom_cropping "
    "right_cropping target_height target_width data_format": """
        image.crop_images
    """,
    "top_padding left_padding bottom_padding "
    "right_padding target_height target_width data_format": """
        image.pad_images
    """,
    "upper": "cholesky cholesky_inverse",
    "weights minlength sparse": "bincount",
    "x dx axis": "trapezoid",
    "x_min x_max": "clip",
}
