package jaeger

import (
	"os/exec"
	"syscall"
)

// endWithParent has the process killed when its parent ends without having stopped it.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
