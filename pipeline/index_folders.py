"""The folders of a node's indexes: which there are, and how one goes.

Thread rule: any thread; all of it blocks.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Final

from index.directory import make_folder, sync_folder
from index.errors import storage_error

DELETED: Final = ".deleted-"


class IndexFolders:
    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Raises: StorageError."""
        try:
            make_folder(self.path)
        except OSError as error:
            raise storage_error(str(self.path), error) from error

    def stored(self) -> list[Path]:
        """Return the folder of each index, their names and those of the folders in them durable:
        whoever made one may have died before that. What a deletion left goes.

        Raises: StorageError.
        """
        try:
            paths = sorted(path for path in self.path.iterdir() if path.is_dir())
            for path in paths:
                if path.name.startswith(DELETED):
                    shutil.rmtree(path, ignore_errors=True)
            kept = [path for path in paths if not path.name.startswith(DELETED)]
            for path in kept:
                for folder in (*path.iterdir(), path):
                    if folder.is_dir():
                        sync_folder(folder)
            sync_folder(self.path)
        except OSError as error:
            raise storage_error(str(self.path), error) from error
        return kept

    def remove(self, name: str) -> None:
        """Delete the folder of an index and all in it. Raises: StorageError."""
        gone = self.path / f"{DELETED}{secrets.token_hex(8)}"
        try:
            # The rename is the deletion: a crash after it leaves rubbish, not half an index.
            (self.path / name).rename(gone)
            sync_folder(self.path)
        except OSError as error:
            raise storage_error(name, error) from error
        shutil.rmtree(gone, ignore_errors=True)
