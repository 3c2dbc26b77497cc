#!/usr/bin/env bash
# Builds a Go program of this folder by its name (compose-config) and prints the path of the binary, which is kept outside
# the repository, by the versions that go.sum pins. Needs Go 1.24, or 1.21 and newer with its module proxy.
set -euo pipefail
cd "$(dirname "$0")/$1"

versions=$(cat go.mod go.sum | sha256sum | cut -c1-12)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tidemark-ci/$1-$versions
if [ ! -x "$folder/$1" ]; then
  command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go > /dev/null || { echo 'Go is missing: https://go.dev/dl' >&2; exit 1; }
  mkdir -p "$folder"
  # In one step, so that an interrupted build leaves no half of a binary.
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags='-s -w' -o "$folder/$1.new" "$(cat package)" >&2
  mv "$folder/$1.new" "$folder/$1"
fi
echo "$folder/$1"
