"""Quantized networks, defined on Python integers: what docs/quantized_format.md says, one function per operation.

`run` takes a valid document and the stored integers of its inputs. Values are NumPy arrays of Python integers (dtype
object) with the events as first axis, so nothing can overflow but where a conversion says so. It shares nothing with
the compiled code but the text of the format.
"""

from rheinfall.reference.quantized.network import OPERATIONS, integers_of_reals, output_sizes, reals_of_integers, run
from rheinfall.reference.quantized.values import Value, convert_array, python_integers

__all__ = [
    "OPERATIONS",
    "Value",
    "convert_array",
    "integers_of_reals",
    "output_sizes",
    "python_integers",
    "reals_of_integers",
    "run",
]
