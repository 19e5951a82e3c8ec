"""An engine for tests: shards in this process alone, so that no worker has to start."""

from collections.abc import Iterator

from cxr14.preprocessing.shards import Outcome, Shard, WorkDirectory, shrink_shard


def in_process(shards: list[Shard], work_dir: WorkDirectory) -> Iterator[tuple[Shard, Outcome]]:
    """Shrink the shards one by one."""
    for shard in shards:
        yield shard, shrink_shard(shard, work_dir)
