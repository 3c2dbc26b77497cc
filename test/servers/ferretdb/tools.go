//go:build tools

// Package tools names the server that build.sh builds, so that go.sum pins it with everything that it is made of.
package tools

import _ "github.com/FerretDB/FerretDB/cmd/ferretdb"
