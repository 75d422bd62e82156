"""ACTS Fatras run in this process, particles in and hits out, as NumPy arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheinfall.simulation.fatras_field import make_field
from rheinfall.simulation.fatras_particles import GunParticles

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]


def import_acts() -> Any:
    """The module `acts`, or an ImportError that says how to get it."""
    try:
        import acts
        import acts.examples
    except ImportError as error:
        raise ImportError("simulation.fatras needs pyacts: pip install rheinfall[acts]") from error
    return acts


@lru_cache(maxsize=1)
def _build_detector() -> Any:
    """The GenericDetector, built once per process (half a second); its geometry lives only as long as it does."""
    acts = import_acts()
    quiet = acts.logging.WARNING
    return acts.examples.GenericDetector(
        logLevel=quiet, surfaceLogLevel=quiet, layerLogLevel=quiet, volumeLogLevel=quiet
    )


class FatrasEngine:
    """The GenericDetector, a field, and Fatras on them.

    Fatras runs on a whiteboard of its own, without a sequencer: no files, no threads, and the event's seed is ours.
    """

    def __init__(self, field: str) -> None:
        self._acts = import_acts()
        self._quiet = self._acts.logging.WARNING
        self._detector = _build_detector()
        self.geometry = self._detector.trackingGeometry()
        self.field = make_field(self._acts, field)
        self._port = _make_port(self._acts, self._quiet)

    def list_surfaces(self) -> tuple[UInt64, Float64]:
        """Identifiers uint64 (n,) and centres float64 (n, 3) [mm] of the sensitive surfaces, by identifier."""
        context = self._acts.GeometryContext.dangerouslyDefaultConstruct()
        identifiers: list[int] = []
        centres: list[list[float]] = []

        def visit(surface: Any) -> None:
            centre = surface.center(context)
            identifiers.append(surface.geometryId.value)
            centres.append([centre[0], centre[1], centre[2]])

        self.geometry.visitSurfaces(visit)
        order = np.argsort(np.array(identifiers, dtype=np.uint64))
        return np.array(identifiers, dtype=np.uint64)[order], np.array(centres, dtype=np.float64)[order]

    def simulate(self, particles: GunParticles, seed: int) -> tuple[Float64, UInt64, Int64]:
        """Send particles through the detector.

        Args:
            particles: what to simulate.
            seed: of multiple scattering and energy loss, 0 to 2**32 - 1.

        Returns:
            Of each hit, by surface: position (n, 3) [mm] float64, identifier of the surface uint64 (n,), index of the
            particle int64 (n,).
        """
        return _to_arrays(self._port.receive(self.run(particles, seed)[0]))

    def run(self, particles: GunParticles, seed: int) -> tuple[Any, Any]:
        """As `simulate`; the whiteboard that holds ACTS' hits, "hits", and its context, for more algorithms of ACTS."""
        examples = self._acts.examples
        # ACTS seeds an event with seed + event number, so that event 1 of seed 0 is event 0 of seed 1 over again.
        # Hence a generator per event, always as event 0, and a seed that the caller hashes from both numbers.
        algorithm = examples.FatrasSimulation(
            # Not its errors: one per particle that takes too many steps (a few in 10,000, of soft electrons), which
            # then leaves no hits.
            level=self._acts.logging.FATAL,
            inputParticles=_Keys.particles,
            outputParticles=_Keys.simulated,
            outputSimHits=_Keys.hits,
            randomNumbers=examples.RandomNumbers(seed=seed),
            trackingGeometry=self.geometry,
            magneticField=self.field,
            generateHitsOnSensitive=True,
            emScattering=True,
            emEnergyLossIonisation=True,
            emEnergyLossRadiation=True,
            emPhotonConversion=False,  # its electrons would be particles that the truth table lacks
            pMin=0.0,  # the default, 0.5 GeV of momentum, silently drops softer particles
        )
        board = examples.WhiteBoard(self._quiet)
        context = examples.AlgorithmContext(0, 0, board, 0)
        self._port.send(context, _to_container(self._acts, particles))
        code = algorithm.execute(context)
        if code != examples.ProcessCode.SUCCESS:
            raise RuntimeError(f"Fatras failed: {code}")
        return board, context


class _Keys:
    """Names on the whiteboard."""

    particles = "particles"
    simulated = "particles_simulated"
    hits = "hits"


def _make_port(acts: Any, level: Any) -> Any:
    """A sequence element that does nothing but own the two handles: ACTS gives handles to elements only."""

    class Port(acts.examples.IAlgorithm):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            acts.examples.IAlgorithm.__init__(self, "rheinfall", level)
            self.send = acts.examples.WriteDataHandle(self, acts.examples.SimParticleContainer, "particles")
            self.send.initialize(_Keys.particles)
            self.receive = acts.examples.ReadDataHandle(self, acts.examples.SimHitContainer, "hits")
            self.receive.initialize(_Keys.hits)

    return Port()


def _to_container(acts: Any, particles: GunParticles) -> Any:
    examples, gev = acts.examples, acts.UnitConstants.GeV
    container = examples.SimParticleContainer()
    species = {int(pdg): acts.PdgParticle(int(pdg)) for pdg in np.unique(particles.pdg)}
    size = np.linalg.norm(particles.momentum, axis=1)
    rows = zip(
        particles.pdg.tolist(),
        particles.vertex.tolist(),
        particles.momentum.tolist(),
        size.tolist(),
        strict=True,
    )
    for index, (pdg, vertex, momentum, p) in enumerate(rows):
        barcode = examples.SimBarcode()
        barcode.vertexPrimary = 1
        barcode.particle = index + 1
        particle = examples.SimParticle(barcode, species[pdg])
        particle.fourPosition = acts.Vector4(*vertex, 0.0)
        particle.direction = acts.Vector3(*(component / p for component in momentum))
        particle.absoluteMomentum = p * gev
        container.insert(particle)
    return container


def _to_arrays(hits: Any) -> tuple[Float64, UInt64, Int64]:
    # The only way out of ACTS' container is hit by hit; element access is ten times faster than list(vector) here.
    position: list[tuple[float, float, float]] = []
    surface: list[int] = []
    particle: list[int] = []
    for hit in hits:
        at = hit.fourPosition
        position.append((at[0], at[1], at[2]))
        surface.append(hit.geometryId.value)
        particle.append(hit.particleId.particle)
    return (
        np.array(position, dtype=np.float64).reshape(-1, 3),
        np.array(surface, dtype=np.uint64),
        np.array(particle, dtype=np.int64) - 1,
    )
