"""The sound of one clip with the pictures of another, in sync."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tpsm_jax.errors import InputError
from tpsm_jax.media.container import muxer_options, open_container

# Sound of these codecs is copied as it is; other sound is made into the first of them.
CODECS = {
    ".mp4": ("aac", "mp3", "ac3"),
    ".mov": ("aac", "mp3", "ac3"),
    ".mkv": ("aac", "mp3", "ac3", "opus", "vorbis", "flac"),
    ".webm": ("opus", "vorbis"),
}
_ENCODERS = {"opus": "libopus"}
# By the number of channels, which is all that some files say; other layouts are mixed into these.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}

# A packet, and the time at which it is decoded, in seconds.
Timed = tuple[float, int, Any]


def add_sound(
    pictures: Path, clip: Path, output: Path, *, start: float, seconds: float, copy: bool
) -> None:
    """Writes a video's pictures, copied, with the sound of a clip.

    Args:
      pictures: a video without sound.
      clip: the clip that has the sound.
      output: the new file. Its suffix is one of `CODECS`.
      start: time in the clip at which the first picture is shown.
      seconds: length of the sound.
      copy: whether the sound is copied, not decoded and encoded again.

    Raises:
      av.FFmpegError, InputError, OSError, ValueError: the sound cannot be read or written.
    """
    with (
        open_container(pictures) as (video_file, video),
        open_container(clip) as (sound_file, _),
        av.open(str(output.resolve()), "w", container_options=muxer_options(output)) as muxer,
    ):
        muxer.metadata.update(video_file.metadata)
        sound = sound_file.streams.audio[0]
        video_out = muxer.add_stream_from_template(video)
        video_packets = _relabeled(video_file.demux(video), video_out)
        if copy:
            sound_packets = _copied(sound_file, sound, muxer, start, seconds)
        else:
            codec = CODECS[output.suffix.lower()][0]
            encoder = _ENCODERS.get(codec, codec)
            sound_packets = _encoded(sound_file, sound, muxer, encoder, start, seconds)
        first = next(sound_packets, None)  # makes the stream, before any packet is written
        if first is None:
            raise InputError(f"{clip} has no sound while its pictures are shown")
        both = heapq.merge([first], sound_packets, video_packets, key=lambda timed: timed[:2])
        for _, _, packet in both:
            muxer.mux(packet)


def _relabeled(packets: Iterator[Any], stream: Any) -> Iterator[Timed]:
    for packet in packets:
        if packet.size:
            packet.stream = stream
            yield _seconds(packet, packet.dts), 0, packet


def _copied(
    container: Any, sound: Any, muxer: Any, start: float, seconds: float
) -> Iterator[Timed]:
    stream = muxer.add_stream_from_template(sound)
    for packet in container.demux(sound):
        if not packet.size or packet.pts is None:
            continue
        unit = Fraction(packet.time_base.numerator, packet.time_base.denominator)
        shift = round(start / unit)
        packet.pts, packet.dts = packet.pts - shift, (packet.dts or packet.pts) - shift
        # The packet before is what the decoder begins with.
        if packet.pts * unit < -2 * (packet.duration or 0) * unit:
            continue
        if packet.pts * unit >= seconds:
            return
        packet.stream = stream
        yield _seconds(packet, packet.dts), 1, packet


def _encoded(
    container: Any, sound: Any, muxer: Any, encoder: str, start: float, seconds: float
) -> Iterator[Timed]:
    rates = av.Codec(encoder, "w").audio_rates
    graph, stream = None, None
    for frame in _decoded(container, sound, start, seconds):
        if frame is not None and graph is None:
            graph = _resampler(frame, encoder, rates, seconds)
        if graph is None:
            return
        graph.push(frame)
        for made in _pulled(graph):
            if stream is None:
                stream = muxer.add_stream(encoder, rate=made.sample_rate, layout=made.layout)
                stream.codec_context.format = made.format
            for packet in stream.encode(made):
                yield _seconds(packet, packet.pts), 1, packet
    if stream is not None:
        for packet in stream.encode(None):
            yield _seconds(packet, packet.pts), 1, packet


def _decoded(container: Any, sound: Any, start: float, seconds: float) -> Iterator[Any]:
    """Yields frames of sound on the clock of the pictures, and None at the end."""
    for frame in container.decode(sound):
        unit = Fraction(frame.time_base.numerator, frame.time_base.denominator)
        if frame.pts is not None:
            frame.pts -= round(start / unit)
            if frame.pts * unit >= seconds:
                break
        yield frame
    yield None


def _resampler(frame: Any, encoder: str, rates: Any, seconds: float) -> Any:
    graph = av.filter.Graph()
    formats = [made.name for made in av.Codec(encoder, "w").audio_formats]
    wanted = f"sample_fmts={'|'.join(formats)}:channel_layouts={'|'.join(_LAYOUTS.values())}"
    wanted += f":sample_rates={'|'.join(map(str, rates))}" if rates else ""
    nodes = [
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=_LAYOUTS.get(frame.layout.nb_channels, frame.layout.name),
            time_base=Fraction(frame.time_base.numerator, frame.time_base.denominator),
        ),
        # What is missing at the beginning or in between is silence.
        graph.add("aresample", "async=1:first_pts=0"),
        graph.add("atrim", f"start=0:end={seconds:.6f}"),
        graph.add("aformat", wanted),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _pulled(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def _seconds(packet: Any, ticks: int | None) -> float:
    unit = packet.time_base
    return (ticks or 0) * unit.numerator / unit.denominator
