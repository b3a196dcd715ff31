"""Writes shards on Apache Beam, one element per shard, so that the files are the same.

Apache Beam needs older releases than the ones pinned here, so it has its own environment, which
`make test-beam` creates.
"""

import shlex
from collections.abc import Sequence

from data.prepare.encoding import Encoding
from data.prepare.shards import Shard, write_shard
from tpsm_jax.errors import InputError


def write_shards_on_beam(shards: Sequence[Shard], encoding: Encoding, options: str) -> None:
    """Writes all missing shards. All workers must see the input and the output.

    Args:
      shards: the shards of all splits.
      encoding: encoding of the frames.
      options: Beam's options, as on its command line; without --runner it runs in this process.

    Raises:
      InputError: Apache Beam is not installed, or the pipeline failed. Finished shards are kept.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError(
            f"--beam takes Apache Beam ({error}), in an environment of its own: "
            "pip install -c constraints-beam.txt -e '.[beam]'"
        ) from None
    waiting = [shard for shard in shards if not shard.part.exists()]
    if not waiting:
        return
    try:
        parsed = PipelineOptions(shlex.split(options))
        with beam.Pipeline(options=parsed) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create(waiting)
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.Map(_write, encoding)
            )
    except SystemExit:  # Beam's parser has printed why
        raise InputError(f"--beam does not know all of {options!r}") from None
    except Exception as error:  # any runner's, its text a whole traceback
        lines = str(error).strip().splitlines() or [repr(error)]
        raise InputError(f"Apache Beam did not finish: {lines[-1]}") from None
    lacking = [shard for shard in waiting if not shard.part.exists()]
    if lacking:
        raise InputError(
            f"Apache Beam's workers have not written {lacking[0].root / lacking[0].file} where "
            "this process looks for it: --input and --output are on a disk that all of them see"
        )


def _write(shard: Shard, encoding: Encoding) -> str:
    from apache_beam.metrics import Metrics

    write_shard(shard, encoding, Metrics.counter("data.prepare", "clips").inc)
    return shard.file
