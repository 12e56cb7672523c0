package jaeger

import (
	"os/exec"
	"runtime"
)

// run starts the process, and has ended closed when it has ended.
func (s *Server) run(cmd *exec.Cmd) error {
	endWithParent(cmd)
	started := make(chan error)
	go func() {
		// The parent that Linux goes by is the thread, which must not end before the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(s.ended)
		}
	}()
	err := <-started
	s.process = cmd.Process
	return err
}
