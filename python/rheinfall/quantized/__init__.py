"""Quantized networks and forests: the firmware's bits at the firmware's speed."""

from __future__ import annotations

from rheinfall.quantized.device import DeviceNetwork
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.forest import Forest, load_forest
from rheinfall.quantized.loading import from_hls4ml, load
from rheinfall.quantized.network import Network

__all__ = ["DeviceNetwork", "Forest", "ModelError", "Network", "from_hls4ml", "load", "load_forest"]
