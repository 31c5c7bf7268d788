"""The gRPC APIs: .proto files with their committed stubs beside them."""
