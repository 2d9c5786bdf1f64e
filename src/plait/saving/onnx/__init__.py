"""ONNX: what each layer and operation becomes, one file a family."""
