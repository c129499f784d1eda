package testenv

import "embed"

// image holds the scripts and the data that both backends run.
//
//go:embed image
var image embed.FS

// recipe is the rest of what the containers are built from.
//
//go:embed Dockerfile compose.yaml baseimage.sh
var recipe embed.FS

// programs are C programs that the tests compile.
//
//go:embed sendauth/*.c
var programs embed.FS
