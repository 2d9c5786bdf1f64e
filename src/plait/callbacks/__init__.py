"""Callbacks: what to do while a model trains."""

from plait.callbacks.backup import BackupAndRestore
from plait.callbacks.csv_logger import CSVLogger
from plait.callbacks.early_stopping import EarlyStopping
from plait.callbacks.lambda_callback import LambdaCallback
from plait.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from plait.callbacks.model_checkpoint import ModelCheckpoint
from plait.callbacks.monitor import MonitorCallback
from plait.callbacks.progbar_logger import ProgbarLogger
from plait.callbacks.remote_monitor import RemoteMonitor
from plait.callbacks.swap_ema_weights import SwapEMAWeights
from plait.callbacks.tensorboard import TensorBoard
from plait.callbacks.terminate_on_nan import TerminateOnNaN
from plait.training.callback import Callback
from plait.training.callback_list import CallbackList
from plait.training.history import History

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
