"""Callbacks: what to do while a model trains."""

from plait.callbacks.csv_logger import CSVLogger
from plait.callbacks.early_stopping import EarlyStopping
from plait.callbacks.lambda_callback import LambdaCallback
from plait.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from plait.callbacks.monitor import MonitorCallback
from plait.callbacks.terminate_on_nan import TerminateOnNaN
from plait.training.callback import Callback, CallbackList
from plait.training.history import History

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "MonitorCallback",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
