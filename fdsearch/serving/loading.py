"""From a sealed ``model.keras`` to a Keras model: digest, then content, then Keras. The only place that loads a model.

`runtimes` calls this; `archive` and `weights_file` look into the file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fdsearch.errors import Fault, IntegrityError, ResourceError
from fdsearch.quiet import import_keras
from fdsearch.registry.draft import MODEL
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.archive import check_archive
from fdsearch.serving.contract import Contract
from fdsearch.serving.weights_file import check_weights

if TYPE_CHECKING:
    import keras


def load_model(version: ModelVersion, contract: Contract) -> keras.Model:
    """Load a version's model.

    The bytes are compared with the manifest and searched for foreign classes before Keras parses them, and Keras reads
    those very bytes: a file that is exchanged meanwhile is never opened.

    Parameters
    ----------
    version : ModelVersion
    contract : Contract
        What the model must take and answer.

    Returns
    -------
    keras.Model
        Not compiled; raw uint8 (n, size, size, 1) to float32 logits (n, n_classes).

    Raises
    ------
    IntegrityError
        If the file is not as registered, holds more than layers, or does not fit the contract.
    ResourceError
        If Keras is not installed, or the model does not fit into memory.
    """
    return load_checked(version.read(MODEL), contract, str(version.path / MODEL))


def load_checked(content: bytes, contract: Contract, where: str) -> keras.Model:
    """Load a model from the bytes of a ``.keras`` file that must fit a contract; errors as in `load_model`."""
    model = load_bytes(content, where)
    check_fit(model, contract, where)
    return model


def load_bytes(content: bytes, where: str) -> keras.Model:
    """Load a model from the bytes of a ``.keras`` file, after a look at what they hold.

    Parameters
    ----------
    content : bytes
    where : str
        Names the file in faults.

    Raises
    ------
    IntegrityError
        If they hold more than layers, or cannot be read.
    ResourceError
        As in `load_model`.
    """
    check_archive(content, where)
    try:
        import_keras()
        import keras
    except ImportError as error:
        fault = Fault("keras", "not installed", "the packages of a model", "pip install 'fdsearch[train]'")
        raise ResourceError("loading a model needs Keras", [fault]) from error
    check_weights(content, where)
    # Keras takes a path, so the checked bytes go to a folder that only this user can write.
    with tempfile.TemporaryDirectory(prefix="fdsearch-") as folder:
        private = Path(folder) / MODEL
        private.write_bytes(content)
        try:
            model: keras.Model = keras.saving.load_model(private, compile=False, safe_mode=True)
        except MemoryError as error:
            raise memory_fault(where) from error
        except Exception as error:
            # Keras answers damaged content with whatever its layers and HDF5 raise.
            fault = Fault(where, f"{type(error).__name__}: {error}"[:300], "a model Keras can read")
            raise IntegrityError("the model file cannot be read", [fault]) from error
    return model


def memory_fault(where: str) -> ResourceError:
    """What to raise for a model that memory has no room for."""
    fault = Fault(where, "not enough memory", "room for the model", "end other programs")
    return ResourceError("the model does not fit into memory", [fault])


def check_fit(model: keras.Model, contract: Contract, where: str) -> None:
    """Refuse a saved model that takes or answers something else than its contract says.

    Raises
    ------
    IntegrityError
    """
    size = contract.input.size
    expected = [((None, size, size, 1), "uint8"), ((None, len(contract.classes)), "float32")]
    found = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in (*model.inputs, *model.outputs)]
    if found != expected:
        fault = Fault(where, f"input and output {found}", f"{expected}", "register model and contract of one training")
        raise IntegrityError("the model does not fit its contract", [fault])
