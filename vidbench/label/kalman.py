"""Constant-velocity Kalman filters of boxes, many at once, with time in seconds so that any rate of pictures works."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class States:
    """What is believed of N boxes: (centre x, centre y, aspect, height), their changes a second, and how sure it is.

    The aspect is width over height, as in SORT's successors (Wojke et al. 2017, section 2.1). The four are taken as
    independent, which they are where all noise is, so that four covariances of 2 by 2 stand in place of one of 8 by 8.

    Attributes:
        value: `(N, 4)`, in pixels; the aspect has no unit.
        speed: `(N, 4)`, a second.
        value_var: `(N, 4)` variances of the values.
        joint_var: `(N, 4)` covariances of value and speed.
        speed_var: `(N, 4)` variances of the speeds.
    """

    value: Array
    speed: Array
    value_var: Array
    joint_var: Array
    speed_var: Array

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> States:
        """Some of them."""
        return States(*(part[rows] for part in self._parts()))

    def put(self, rows: NDArray[np.intp], others: States) -> States:
        """The same with others in the place of some."""
        parts = [part.copy() for part in self._parts()]
        for part, other in zip(parts, others._parts(), strict=True):
            part[rows] = other
        return States(*parts)

    def join(self, others: States) -> States:
        """These and the others behind them."""
        return States(*(np.concatenate(pair) for pair in zip(self._parts(), others._parts(), strict=True)))

    @property
    def boxes(self) -> Array:
        """`(N, 4)`: x1, y1, x2, y2; of at least a pixel each way."""
        height = np.maximum(self.value[:, 3], 1.0)
        half = np.stack((np.maximum(self.value[:, 2] * height, 1.0), height), axis=1) / 2
        return np.concatenate((self.value[:, :2] - half, self.value[:, :2] + half), axis=1)

    def _parts(self) -> tuple[Array, ...]:
        return self.value, self.speed, self.value_var, self.joint_var, self.speed_var


@dataclass(frozen=True)
class KalmanFilter:
    """How persons move and how exactly they are seen, in heights of their boxes.

    Attributes:
        seen: Standard deviation of a seen position, in heights; also of a seen height.
        seen_aspect: Of a seen aspect: arms and legs swing, and half a person may be hidden.
        start_speed: Of the speed of a box that is new, in heights a second; a brisk walk is about 1.
        turns: How much the speed changes within a second, in heights a second: the root of the spectral density of
            the white noise that accelerates.
        turns_size: The same of height and aspect.
    """

    seen: float = 0.05
    seen_aspect: float = 0.1
    start_speed: float = 1.0
    turns: float = 0.6
    turns_size: float = 0.2

    def start(self, boxes: Array) -> States:
        """The states of boxes `(N, 4)`, x1, y1, x2, y2 in pixels with an area, that are seen for the first time."""
        value = measured(boxes)
        zero = np.zeros_like(value)
        scale = self._scale(value)
        speed = scale * (self.start_speed, self.start_speed, self.turns_size, self.turns_size)
        return States(value, zero, self._noise(value), zero, speed**2)

    def predict(self, states: States, seconds: float) -> States:
        """Where they will be `seconds` later; 0 or more."""
        turns = self._scale(states.value) * (self.turns, self.turns, self.turns_size, self.turns_size)
        density = turns**2
        return States(
            states.value + seconds * states.speed,
            states.speed,
            states.value_var
            + 2 * seconds * states.joint_var
            + seconds**2 * states.speed_var
            + density * seconds**3 / 3,
            states.joint_var + seconds * states.speed_var + density * seconds**2 / 2,
            states.speed_var + density * seconds,
        )

    def correct(self, states: States, boxes: Array) -> States:
        """Take in the boxes `(N, 4)` where they were seen, one for each state."""
        total = states.value_var + self._noise(states.value)
        gain, speed_gain = states.value_var / total, states.joint_var / total
        surprise = measured(boxes) - states.value
        return States(
            states.value + gain * surprise,
            states.speed + speed_gain * surprise,
            (1 - gain) * states.value_var,
            (1 - gain) * states.joint_var,
            states.speed_var - speed_gain * states.joint_var,
        )

    def distances(self, states: States, boxes: Array) -> Array:
        """`(N, M)`: squared Mahalanobis distances of the centres of M boxes from N states; 2 degrees of freedom."""
        total = (states.value_var + self._noise(states.value))[:, None, :2]
        apart = measured(boxes)[None, :, :2] - states.value[:, None, :2]
        distance: Array = np.sum(apart**2 / total, axis=2)
        return distance

    def _scale(self, value: Array) -> Array:
        """`(N, 4)`: what a height is of each of the four."""
        height = np.maximum(value[:, 3:], 1.0)
        return np.concatenate((height, height, np.ones_like(height), height), axis=1)

    def _noise(self, value: Array) -> Array:
        noise: Array = (self._scale(value) * (self.seen, self.seen, self.seen_aspect, self.seen)) ** 2
        return noise


def measured(boxes: Array) -> Array:
    """`(N, 4)`: centre x, centre y, aspect and height of boxes `(N, 4)`, x1, y1, x2, y2."""
    size = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2
    return np.column_stack((centre, size[:, 0] / size[:, 1], size[:, 1]))
