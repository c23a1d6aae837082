"""How a scanner turns tissue into numbers: MR signal, coil, k-space, noise; CT noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray


@dataclass(frozen=True)
class Tissue:
    """What MR sees of a tissue at one field strength."""

    density: float
    t1_ms: float
    t2_ms: float


def balanced_signal(tissue: Tissue, flip_degrees: float) -> float:
    """Return the steady-state signal of a balanced sequence (bSSFP), on resonance, TR << T2.

    Source:
        Scheffler and Lehnhardt, "Principles and applications of balanced SSFP techniques",
        European Radiology 13, 2003, equation 3.
    """
    cosine, sine = math.cos(math.radians(flip_degrees)), math.sin(math.radians(flip_degrees))
    return tissue.density * sine / (1 + cosine + (1 - cosine) * tissue.t1_ms / tissue.t2_ms)


def spoiled_signal(tissue: Tissue, flip_degrees: float, repetition_ms: float) -> float:
    """Return the steady-state signal of a spoiled gradient echo with a short echo time.

    Source:
        Ernst and Anderson, "Application of Fourier transform spectroscopy to magnetic
        resonance", Review of Scientific Instruments 37, 1966.
    """
    cosine, sine = math.cos(math.radians(flip_degrees)), math.sin(math.radians(flip_degrees))
    decay = math.exp(-repetition_ms / tissue.t1_ms)
    return tissue.density * sine * (1 - decay) / (1 - cosine * decay)


def inversion_signal(
    tissue: Tissue, repetition_ms: float, inversion_ms: float, echo_ms: float
) -> float:
    """Return the magnitude of a spin echo after inversion (FLAIR when fluid is nulled).

    Source:
        De Coene et al., "MR of the brain using fluid-attenuated inversion recovery (FLAIR) pulse
        sequences", American Journal of Neuroradiology 13, 1992.
    """
    recovered = 1 - 2 * math.exp(-inversion_ms / tissue.t1_ms)
    recovered += math.exp(-repetition_ms / tissue.t1_ms)
    return abs(tissue.density * recovered * math.exp(-echo_ms / tissue.t2_ms))


def acquired_window(shape: tuple[int, int], kept: tuple[float, float]) -> FloatArray:
    """Return the k-space filter of an acquisition that is zero-filled to `shape`.

    Args:
        shape: Matrix of the image, `(X, Y)`.
        kept: Acquired share of the matrix along each axis, in (0, 1].

    Returns:
        float32 `(X, Y)` in FFT order: 1 in the middle, raised-cosine edges, 0 outside; 1 at zero
        frequency, so a constant image stays what it is.
    """
    edges = []
    for count, share in zip(shape, kept, strict=True):
        relative = np.abs(np.fft.fftfreq(count)) * 2 / share
        edges.append(0.5 * (1 + np.cos(np.pi * np.clip((relative - 0.7) / 0.3, 0, 1))))
    return np.asarray(edges[0][:, None] * edges[1][None, :], np.float32)


def magnitude_image(
    signal: FloatArray, window: FloatArray, noise_sd: float, *, generator: np.random.Generator
) -> FloatArray:
    """Blur a signal by its k-space window, add complex noise and take the magnitude.

    The noise passes the same window as the signal, as in a zero-filled scan: it is grainy, not
    white. The magnitude of a constant signal is Rician with `noise_sd` in each channel.

    Args:
        signal: `(X, Y, Z)`; every z is a slice of its own.
        window: `(X, Y)`, from `acquired_window`.
        noise_sd: Standard deviation of the real and of the imaginary noise, unit of the signal.
        generator: Source of the noise.

    Returns:
        float32 `(X, Y, Z)`, not negative.

    Source:
        Gudbjartsson and Patz, "The Rician distribution of noisy MRI data", MRM 34, 1995.
    """
    slices = np.moveaxis(signal, 2, 0)
    before = noise_sd / float(np.sqrt(np.mean(window**2)))
    noise = generator.standard_normal((2, *slices.shape), dtype=np.float32) * np.float32(before)
    spectrum = np.fft.fft2(slices + noise[0] + 1j * noise[1]) * window
    return np.moveaxis(np.abs(np.fft.ifft2(spectrum)), 0, 2).astype(np.float32)


def tomography_noise(
    shape: tuple[int, ...], noise_hu: float, sharpness: float, *, generator: np.random.Generator
) -> FloatArray:
    """Draw the noise of filtered back-projection: coloured by the kernel, slice by slice.

    Its power rises with frequency as the ramp filter does and falls where the kernel's window
    ends: `NPS(f) ~ f exp(-2 (f / c)^2)`, the cut-off c rising with sharpness.

    Args:
        shape: `(X, Y, Z)`; the slices are independent.
        noise_hu: Standard deviation.
        sharpness: 0 for a soft kernel, 1 for a sharp one.
        generator: Source of the noise.

    Returns:
        float32 `(X, Y, Z)` with mean zero in every slice.

    Source:
        Riederer, Pelc and Chesler, "The noise power spectrum in computed X-ray tomography",
        Physics in Medicine and Biology 23, 1978.
    """
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    cutoff = 0.18 + 0.3 * sharpness
    amplitude = np.sqrt(frequency) * np.exp(-((frequency / cutoff) ** 2))
    white = generator.standard_normal((shape[2], shape[0], shape[1]), dtype=np.float32)
    coloured = np.fft.irfft2(np.fft.rfft2(white) * amplitude.astype(np.float32), s=shape[:2])
    return np.asarray(np.moveaxis(coloured * (noise_hu / coloured.std()), 0, 2), np.float32)
