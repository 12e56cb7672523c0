package temporal

// RegisterOn registers the engine's flows on something else than a worker.
func (e *Engine) RegisterOn(r registry) {
	for _, f := range e.flows {
		f.register(r)
	}
}
