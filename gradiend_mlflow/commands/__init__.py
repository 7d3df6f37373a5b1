"""The commands of `gradiend-mlflow`: each is one public function, with the same names for the same options."""
