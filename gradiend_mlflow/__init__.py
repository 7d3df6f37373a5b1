"""MLflow tracking for GRADIEND: every run's top-k weight sets logged automatically, compared without loading a model.

`__init__.pyi` lists the public names and where they are defined. Each is loaded when it is first used, so that
`import gradiend_mlflow` is instant and comparing runs never loads torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
