//! The replicated log and state machine: openraft on storage, peers over tonic, the batcher
