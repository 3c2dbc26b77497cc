// Prints a compose file as `docker compose config` does, with the loader that it uses; fails where the file breaks the Compose Specification.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithOsEnv, cli.WithInterpolation(true), cli.WithResolvedPaths(true))
	exitOn(err)
	project, err := options.LoadProject(context.Background())
	exitOn(err)
	yaml, err := project.MarshalYAML()
	exitOn(err)
	fmt.Print(string(yaml))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
