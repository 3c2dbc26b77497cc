#!/usr/bin/env bash
# Builds FerretDB with its SQLite backend: the server that the tests of the MongoDB store run on. Prints the path of the
# binary, which is kept outside the repository, by version. Needs Go 1.24, or 1.21 and newer with its module proxy.
set -euo pipefail
cd "$(dirname "$0")"

version=$(sed -n 's|^require github.com/FerretDB/FerretDB ||p' go.mod)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tidemark-ci/ferretdb-$version
binary=$folder/ferretdb
if [ ! -x "$binary" ]; then
  command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go > /dev/null || { echo 'Go is missing: https://go.dev/dl' >&2; exit 1; }
  mkdir -p "$folder"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cp go.mod go.sum tools.go "$work"
  (
    cd "$work"
    go mod vendor
    # The server reads its version from a file that its module lacks, and panics without it.
    printf '%s\n' "$version" > vendor/github.com/FerretDB/FerretDB/build/version/version.txt
    CGO_ENABLED=0 GOFLAGS=-buildvcs=false \
      go build -mod=vendor -trimpath -ldflags='-s -w' -o ferretdb github.com/FerretDB/FerretDB/cmd/ferretdb
  ) >&2
  # In one step, so that an interrupted build leaves no half of a binary.
  mv "$work/ferretdb" "$binary.new" && mv "$binary.new" "$binary"
fi
echo "$binary"
