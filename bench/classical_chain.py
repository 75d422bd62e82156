"""The classical chain of ACTS on a whiteboard: digitization, seeding, combinatorial Kalman filter, ambiguities.

One Python process, one thread, each algorithm timed by its CPU time; nothing is written to disk but a small
configuration. Settings were chosen by trials on one event: three seeds for each middle point at 3 sigma of scattering
take as long as two at 5 sigma and find more (0.994 against 0.985); five find more still and take longer.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from classical_hits import PITCH, PIXELS, MeasurementMaker

import rheinfall as rf
from rheinfall.simulation.fatras_engine import FatrasEngine
from rheinfall.simulation.fatras_particles import GunParticles

FINDING = ("space points", "seeding", "parameters", "kalman", "ambiguities")


@dataclass(frozen=True)
class Settings:
    """What differs between the settings."""

    max_seeds_per_middle: int
    impact_max: float = 0.3  # [mm]
    delta_r: tuple[float, float] = (10.0, 120.0)  # [mm]
    scattering_sigmas: float = 3.0
    chi2_cut: float = 15.0
    candidates: int = 1  # measurements tried on a surface
    min_measurements: int = 6
    max_holes: int = 2
    interaction_point_cut: bool = True


FAST = Settings(max_seeds_per_middle=3)
THOROUGH = Settings(max_seeds_per_middle=5)


class ClassicalChain:
    """Seeding, combinatorial Kalman filter and ambiguity resolution on the hits of a `FatrasEngine`."""

    def __init__(self, engine: FatrasEngine, settings: Settings) -> None:
        import acts
        import acts.examples
        import acts.examples.json

        self._acts, self._level, self._engine, self._settings = acts, acts.logging.FATAL, engine, settings
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "digitization.json"
            path.write_text(json.dumps(_digitization()))
            self._digitization = acts.examples.json.readDigiConfigFromJson(str(path))
        self._volumes = [acts.GeometryIdentifier(volume=v) for v in PIXELS]
        self._reader = _make_reader(acts, self._level)
        self._board: Any = None

    def find(self, particles: GunParticles, seed: int) -> tuple[rf.Tracks, Any, dict[str, float]]:
        """Simulate, digitize and find.

        Returns:
            The tracks, with hits as indices of measurements; the particle index of each measurement; CPU ms by stage.
        """
        board, context = self._engine.run(particles, seed)
        ms = self._execute({"digitization": self._digitize(seed), **self._finding()}, board, context)
        particle = np.array([hit.particleId.particle for hit in self._reader.hits(board)], dtype=np.int64) - 1
        of_measurement = np.full(len(particle), -1, dtype=np.int64)
        for measurement, hit in self._reader.measurements(board):
            of_measurement[measurement] = particle[hit]
        return self._tracks(np.arange(len(particle))), of_measurement, ms

    def find_in(self, hits: rf.Hits, maker: MeasurementMaker) -> tuple[rf.Tracks, dict[str, float]]:
        """Find in the hits of an event; the tracks, with its hits, and CPU ms by stage."""
        examples = self._acts.examples
        board = examples.WhiteBoard(self._level)
        context = examples.AlgorithmContext(0, 0, board, 0)
        measurements, hit_of_measurement = maker.make(hits)
        self._reader.send_measurements(context, measurements)
        subset = examples.MeasurementSubset(self._reader.all_measurements(board), range(len(hits)))
        self._reader.send_subset(context, subset)
        ms = self._execute(self._finding(), board, context)
        return self._tracks(hit_of_measurement), ms

    def _execute(self, algorithms: dict[str, Any], board: Any, context: Any) -> dict[str, float]:
        """Run the algorithms in their order; CPU ms of each."""
        ms = {}
        for name, algorithm in algorithms.items():
            start = time.process_time()
            code = algorithm.execute(context)
            ms[name] = 1e3 * (time.process_time() - start)
            if code != self._acts.examples.ProcessCode.SUCCESS:
                raise RuntimeError(f"{name} failed: {code}")
        self._board = board
        return ms

    def _tracks(self, hit_of_measurement: Any) -> rf.Tracks:
        """The tracks on the whiteboard; a hit that two of them share is labelled with the later one."""
        found = [list(track) for track in self._reader.tracks(self._board)]
        offsets = np.cumsum([0, *(len(track) for track in found)], dtype=np.int64)
        hits = hit_of_measurement[np.array([hit for track in found for hit in track], dtype=np.int64)]
        labels = np.full(len(hit_of_measurement), -1, dtype=np.int64)
        labels[hits] = np.repeat(np.arange(len(found)), np.diff(offsets))
        return rf.Tracks(offsets, hits, labels, "ok")

    def fitted(self) -> Any:
        """ACTS' fitted tracks of the last event, in the order of the tracks that `find` gave."""
        return self._reader.fitted(self._board)

    def _digitize(self, seed: int) -> Any:
        """ACTS' own digitization of the hits of Fatras."""
        examples = self._acts.examples
        settings = examples.DigitizationAlgorithm.Config(
            digitizationConfigs=self._digitization,
            surfaceByIdentifier=self._engine.geometry.geoIdSurfaceMap(),
            randomNumbers=examples.RandomNumbers(seed=seed),
            inputSimHits="hits",
            outputMeasurements="measurements",
            outputMeasurementSubset="measurement_subset",
            outputMeasurementParticlesMap="measurement_particles_map",
            outputMeasurementSimHitsMap="measurement_simhits_map",
            outputParticleMeasurementsMap="particle_measurements_map",
            outputSimHitMeasurementsMap="simhit_measurements_map",
            doMerge=False,
        )
        return examples.DigitizationAlgorithm(settings, self._level)

    def _finding(self) -> dict[str, Any]:
        """The algorithms from measurements to tracks, in their order; made anew, for ACTS binds names when it does."""
        acts, s, level = self._acts, self._settings, self._level
        geometry, field = self._engine.geometry, self._engine.field
        examples = acts.examples
        selection = acts.MeasurementSelector.Config(
            [(acts.GeometryIdentifier(), ([], [s.chi2_cut], [s.chi2_cut], [s.candidates]))]
        )
        finder = examples.TrackFindingAlgorithm
        return {
            "space points": examples.SpacePointMaker(
                level=level,
                inputMeasurements="measurement_subset",
                outputSpacePoints="space_points",
                trackingGeometry=geometry,
                geometrySelection=self._volumes,
            ),
            "seeding": examples.GridTripletSeedingAlgorithm(
                level=level,
                inputSpacePoints="space_points",
                outputSeeds="seeds",
                bFieldInZ=2 * acts.UnitConstants.T,
                minPt=0.5 * acts.UnitConstants.GeV,
                impactMax=s.impact_max,
                deltaRMin=s.delta_r[0],
                deltaRMax=s.delta_r[1],
                rMax=200.0,
                zMin=-2000.0,
                zMax=2000.0,
                collisionRegionMin=-250.0,
                collisionRegionMax=250.0,
                cotThetaMax=11.0,
                maxSeedsPerSpM=s.max_seeds_per_middle,
                interactionPointCut=s.interaction_point_cut,
                sigmaScattering=s.scattering_sigmas,
                radLengthPerSeed=0.1,
            ),
            "parameters": examples.TrackParamsEstimationAlgorithm(
                level=level,
                inputSeeds="seeds",
                outputTrackParameters="parameters",
                outputSeeds="estimated_seeds",
                trackingGeometry=geometry,
                magneticField=field,
            ),
            "kalman": finder(
                level=level,
                measurementSelectorCfg=selection,
                inputMeasurements="measurement_subset",
                inputInitialTrackParameters="parameters",
                inputSeeds="estimated_seeds",
                outputTracks="tracks",
                findTracks=finder.makeTrackFinderFunction(geometry, field, level),
                findTracksBrem=finder.makeBremTrackFinderFunction(geometry, field, level),
                trackingGeometry=geometry,
                magneticField=field,
                trackSelectorCfg=acts.TrackSelector.Config(
                    pt=(0.4 * acts.UnitConstants.GeV, float("inf")),
                    minMeasurements=s.min_measurements,
                    maxHoles=s.max_holes,
                ),
                seedDeduplication=True,
                stayOnSeed=True,
            ),
            "ambiguities": examples.GreedyAmbiguityResolutionAlgorithm(
                level=level,
                inputTracks="tracks",
                outputTracks="clean_tracks",
                maximumSharedHits=3,
                nMeasurementsMin=s.min_measurements,
                maximumIterations=1_000_000,
            ),
            "to trajectories": examples.TracksToTrajectories(
                level=level, inputTracks="clean_tracks", outputTrajectories="trajectories"
            ),
            "to indices": examples.TrajectoriesToProtoTracks(
                level=level, inputTrajectories="trajectories", outputProtoTracks="proto_tracks"
            ),
        }


def _digitization() -> dict[str, Any]:
    def smear(index: int, pitch: float) -> dict[str, Any]:
        return {"index": index, "mean": 0.0, "stddev": pitch / 12**0.5, "type": "Gauss"}

    entries = [
        {"volume": v, "value": {"smearing": [smear(i, p) for i, p in enumerate(pitch)]}} for v, pitch in PITCH.items()
    ]
    header = {"format-version": 0, "value-identifier": "digitization-configuration"}
    return {"acts-geometry-hierarchy-map": header, "entries": entries}


def _make_reader(acts: Any, level: Any) -> Any:
    """A sequence element that owns the handles to what the algorithms left on the whiteboard."""
    examples = acts.examples

    class Reader(examples.IAlgorithm):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            examples.IAlgorithm.__init__(self, "reader", level)
            self.hits = examples.ReadDataHandle(self, examples.SimHitContainer, "hits")
            self.hits.initialize("hits")
            self.tracks = examples.ReadDataHandle(self, examples.ProtoTrackContainer, "proto_tracks")
            self.tracks.initialize("proto_tracks")
            self.fitted = examples.ReadDataHandle(self, examples.ConstTrackContainer, "clean_tracks")
            self.fitted.initialize("clean_tracks")
            self.measurements = examples.ReadDataHandle(self, examples.MeasurementSimHitsMap, "map")
            self.measurements.initialize("measurement_simhits_map")
            self.send_measurements = examples.WriteDataHandle(self, examples.MeasurementContainer, "all")
            self.send_measurements.initialize("measurements")
            self.all_measurements = examples.ReadDataHandle(self, examples.MeasurementContainer, "sent")
            self.all_measurements.initialize("measurements")
            self.send_subset = examples.WriteDataHandle(self, examples.MeasurementSubset, "subset")
            self.send_subset.initialize("measurement_subset")

    return Reader()
