"""What the track fit needs to know of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field

import numpy as np

from rheinfall.event import Bool, Float32
from rheinfall.tracking.graph import TripletModel, check_resolution, resolution_table


@dataclass(frozen=True)
class FitModel:
    """Resolutions and material by volume, the top 8 bits of a `module_id`, and the field.

    Attributes:
        resolution: volume number -> standard deviations of a hit [mm] along the azimuth, along z and along the radius.
        default_resolution: of the volumes not named.
        field: magnetic field along z [T].
        layer_x0: volume number -> thickness of each of its layers at perpendicular incidence [radiation lengths].
        default_layer_x0: of the volumes not named.
        discs: volumes whose layers lie across the z axis, as in end caps; the others are cylinders about it.

    Raises:
        ValueError: a number that is not positive and finite, or a volume outside 0 to 255.
    """

    resolution: dict[int, tuple[float, float, float]] = dataclass_field(default_factory=dict)
    default_resolution: tuple[float, float, float] = (0.05, 0.1, 0.1)
    field: float = 2.0
    layer_x0: dict[int, float] = dataclass_field(default_factory=dict)
    default_layer_x0: float = 0.03
    discs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        thicknesses = {f"layer_x0[{volume}]": value for volume, value in self.layer_x0.items()}
        numbers = {"field": self.field, "default_layer_x0": self.default_layer_x0, **thicknesses}
        for name, value in numbers.items():
            if not 0 < value < np.inf:
                raise ValueError(f"{name}: expected a number > 0, got {value}")
        for name, volumes in (("layer_x0", self.layer_x0), ("discs", self.discs)):
            for volume in volumes:
                if not 0 <= volume < 256:
                    raise ValueError(f"{name}: expected volumes 0 to 255, got {volume}")
        check_resolution(self.resolution, self.default_resolution)

    @classmethod
    def from_triplet_model(cls, model: TripletModel) -> FitModel:
        """That of a detector of cylinders, all as thick as `model` says."""
        return cls(dict(model.resolution), model.default_resolution, model.field, {}, model.layer_x0)

    def arguments(self) -> tuple[Float32, Float32, Bool, float]:
        """What the core's function takes."""
        thickness = np.full(256, self.default_layer_x0, np.float32)
        for volume, value in self.layer_x0.items():
            thickness[volume] = value
        is_disc = np.zeros(256, np.bool_)
        is_disc[list(self.discs)] = True
        return resolution_table(self.resolution, self.default_resolution), thickness, is_disc, self.field
