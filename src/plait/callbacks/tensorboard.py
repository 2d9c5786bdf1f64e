"""`TensorBoard`: logs, weights and the graph as files that TensorBoard shows."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from plait.core.walk import variables_by_path
from plait.errors import ConfigError
from plait.layers import Embedding
from plait.training.callback import Callback, Logs

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


class TensorBoard(Callback):
    """Write logs for TensorBoard, with tensorboardX (no TensorFlow): ``tensorboard --logdir logs``.

    Names are Keras': ``epoch_loss`` in the runs "train" and "validation", ``batch_loss``,
    ``evaluation_loss_vs_iterations``, ``dense/kernel/histogram``. The graph shows the calls of
    layers.

    Args:
        log_dir: the folder.
        histogram_freq: write histograms of the weights at every so many epochs; 0: never.
        write_graph: write the graph of the model.
        write_images: where there are histograms, write the weights as images, too.
        write_steps_per_second: write how many steps a second an epoch made.
        update_freq: "epoch", "batch", or a number: write the logs of every so many batches, too.
        profile_batch: the batch, from 1, to record with JAX's profiler, or the first and the last
            of several; 0: none.
        embeddings_freq: write the weights of embeddings at every so many epochs; 0: never.
        embeddings_metadata: a file with a label in each line, one for each row of the embedding;
            or a dict of these by name of the layer.

    Raises:
        ConfigError: tensorboardX is not installed; a number is out of its range; or, while
            training, a layer of `embeddings_metadata` is no embedding.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import plait
        >>> model = plait.Sequential([plait.Input((2,)), plait.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> board = plait.callbacks.TensorBoard(tempfile.mkdtemp(), histogram_freq=1)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> _ = model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[board])
        >>> import os
        >>> sorted(os.listdir(board.log_dir))
        ['train', 'validation']
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | str | Sequence[int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: str | Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        _require()
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph, self.write_images = write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        if self.update_freq != "epoch" and (
            not isinstance(self.update_freq, int) or self.update_freq < 1
        ):
            raise ConfigError(
                "TensorBoard: update_freq is 'epoch', 'batch' or a number of batches; received "
                f"{update_freq!r}."
            )
        self.profile_batch = profile_batch
        self._first, self._last = _batches(profile_batch)
        self.embeddings_freq = embeddings_freq
        self.embeddings_metadata = embeddings_metadata
        if self.update_freq != "epoch" or self._first:
            # Set here, so that nothing is called for each batch where batches do not count.
            self.on_train_batch_begin = self._before_batch  # type: ignore[method-assign]
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]
        self._writers: dict[str, SummaryWriter] = {}
        self._profiling = False
        self._reset()

    def _reset(self) -> None:
        self._batch = 0
        self._training = False
        self._epoch_began, self._steps_before = 0.0, 0

    # -- training -----------------------------------------------------------------------------

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Count batches anew, and write the graph."""
        self._reset()
        self._training = True
        if self.write_graph and self.model.has_graph:
            _write_graph(self._writer("train"), self.model)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Take the time."""
        self._epoch_began, self._steps_before = time.perf_counter(), self._steps()

    def _before_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batch += 1
        if self._batch == self._first:
            jax.profiler.start_trace(os.path.join(self.log_dir, "train"))
            self._profiling = True

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        if self._profiling and self._batch >= self._last:
            self._stop_profiling()
        if self.update_freq != "epoch" and self._batch % self.update_freq == 0:  # type: ignore[operator]
            self._write("train", "batch_{}", logs or {}, self._batch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the logs of an epoch, and the weights if they are due."""
        logs = logs or {}
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        if self.model.optimizer is not None:
            rate = np.asarray(self.model.optimizer.learning_rate)
            train.setdefault("learning_rate", float(rate))
        if self.write_steps_per_second:
            seconds = time.perf_counter() - self._epoch_began
            train["steps_per_second"] = (self._steps() - self._steps_before) / seconds
        self._write("train", "epoch_{}", train, epoch)
        validated = {n.removeprefix("val_"): v for n, v in logs.items() if n.startswith("val_")}
        if validated:
            self._write("validation", "epoch_{}", validated, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings(epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Write what an evaluation gave against the number of updates."""
        self._write("validation", "evaluation_{}_vs_iterations", logs or {}, self._steps())
        if not self._training:
            self._close()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        self._training = False
        self._close()

    def on_abort(self) -> None:
        """Close the files: an exception has ended the run."""
        self._close()

    def get_state(self) -> Any:
        """Return the number of batches so far."""
        return {"batch": self._batch}

    def set_state(self, state: Any) -> None:
        """Go on counting batches where an earlier run was."""
        self._batch = state["batch"]

    def _steps(self) -> int:
        optimizer = self.model.optimizer
        return 0 if optimizer is None else int(optimizer.iterations)

    # -- files --------------------------------------------------------------------------------

    def _writer(self, run: str) -> SummaryWriter:
        if run not in self._writers:
            from tensorboardX import SummaryWriter

            # Names differ by the second only, and runs may go on within one.
            suffix = f".{time.time_ns()}"
            folder = os.path.join(self.log_dir, run)
            self._writers[run] = SummaryWriter(folder, filename_suffix=suffix)
        return self._writers[run]

    def _write(self, run: str, tag: str, values: Logs, step: int) -> None:
        writer = self._writer(run)
        for name, value in values.items():
            if np.ndim(value) == 0:
                writer.add_scalar(tag.format(name), float(value), step)
            else:
                writer.add_histogram(tag.format(name), np.asarray(value), step)

    def _write_weights(self, epoch: int) -> None:
        writer = self._writer("train")
        for path, variable in variables_by_path(self.model).items():
            value = variable.numpy()
            finite = value[np.isfinite(value)].astype("float64")
            if finite.size:
                writer.add_histogram(f"{path}/histogram", finite, epoch)
            image = _as_image(value) if self.write_images else None
            if image is not None:
                writer.add_images(f"{path}/image", image, epoch, dataformats="NHWC")

    def _write_embeddings(self, epoch: int) -> None:
        found = {layer.name: layer for layer in self.model.layers if isinstance(layer, Embedding)}
        files = self.embeddings_metadata or {}
        if isinstance(files, str):
            files = dict.fromkeys(found, files)
        unknown = [name for name in files if name not in found]
        if unknown:
            raise ConfigError(
                f"TensorBoard: embeddings_metadata names {', '.join(map(repr, unknown))}; the "
                f"embeddings are {', '.join(map(repr, found)) or 'none'}."
            )
        for name, layer in found.items():
            matrix = layer.embeddings.numpy()
            labels = None
            if name in files:
                labels = pathlib.Path(files[name]).read_text("utf-8").splitlines()
                if len(labels) != len(matrix):
                    raise ConfigError(
                        f"TensorBoard: '{files[name]}' has {len(labels)} labels; '{name}' has "
                        f"{len(matrix)} rows."
                    )
            self._writer("train").add_embedding(matrix, labels, None, epoch, name)

    def _stop_profiling(self) -> None:
        if self._profiling:
            self._profiling = False
            jax.profiler.stop_trace()

    def _close(self) -> None:
        self._stop_profiling()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _require() -> None:
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "TensorBoard writes its files with tensorboardX, which is not installed.",
            fix="pip install 'plait[tensorboard]'",
        ) from error


def _batches(given: int | str | Sequence[int]) -> tuple[int, int]:
    parts: Any = given.split(",") if isinstance(given, str) else given
    try:
        numbers = [int(part) for part in (parts if isinstance(parts, list | tuple) else [parts])]
        if len(numbers) <= 2 and 0 <= numbers[0] <= numbers[-1]:
            return numbers[0], numbers[-1]
    except (TypeError, ValueError, IndexError):
        pass
    raise ConfigError(
        f"TensorBoard: profile_batch is a batch, or the first and the last of several, from 1; "
        f"received {given!r}.",
        fix="profile_batch=(10, 20)",
    )


def _as_image(value: np.ndarray) -> np.ndarray | None:
    """Return a weight as images (number, height, width, channels), as Keras shows it, or None."""
    value = np.squeeze(value).astype("float32")
    if value.ndim == 1:
        return value[None, :, None, None]
    if value.ndim == 2:
        wide = value.T if value.shape[0] > value.shape[1] else value
        return wide[None, :, :, None]
    if value.ndim == 3:
        return value.transpose(2, 0, 1)[..., None]
    return value if value.ndim == 4 and value.shape[-1] in (1, 3, 4) else None


def _write_graph(writer: SummaryWriter, model: Any) -> None:
    """Write the calls of layers as nodes, with the shapes of what they return."""
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboardX.proto.versions_pb2 import VersionDef

    names = model.graph.names
    definition = GraphDef(versions=VersionDef(producer=22))
    for node in model.graph.nodes:
        shapes = [
            TensorShapeProto(dim=[TensorShapeProto.Dim(size=-1 if n is None else n) for n in shape])
            for shape in node.output_shapes
        ]
        made = definition.node.add(name=names[node], op=type(node.layer).__name__)
        made.input.extend(
            f"{names[t.node]}:{t.index}" if t.index else names[t.node]
            for t in node.inputs
            if t.node is not None
        )
        made.attr["_output_shapes"].CopyFrom(AttrValue(list=AttrValue.ListValue(shape=shapes)))
    writer.file_writer.add_event(Event(graph_def=definition.SerializeToString()))
