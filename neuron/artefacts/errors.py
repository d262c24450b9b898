"""What can go wrong with artefacts, one class per reaction.

SpecserveError
├── ArtefactError          1  anything else that is the user's to fix
│   ├── UnknownVersionError 1  versions that nobody has stated and nothing here can tell
│   └── UnknownFormatError  1  a manifest that another version of this program wrote
├── AddressError           2  what is no store's address
├── NotPublishedError      3  nothing of that name or id in the store or folder
├── MismatchError          4  compiled for something else; a LaunchError
├── DamagedError           5  bytes that are not those of the manifest: pull or publish again
└── StoreError             6  a store that cannot be reached, or that refuses
"""

from __future__ import annotations

from neuron.errors import LaunchError, SpecserveError


class ArtefactError(SpecserveError):
    exit_code = 1


class UnknownVersionError(ArtefactError):
    pass


class UnknownFormatError(ArtefactError):
    pass


class AddressError(SpecserveError):
    exit_code = 2


class NotPublishedError(SpecserveError):
    exit_code = 3


class MismatchError(LaunchError):
    pass


class DamagedError(SpecserveError):
    exit_code = 5


class StoreError(SpecserveError):
    exit_code = 6
