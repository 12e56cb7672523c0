//go:build !linux

package jaeger

import "os/exec"

func endWithParent(*exec.Cmd) {}
