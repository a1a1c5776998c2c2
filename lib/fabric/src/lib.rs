//! What an SRP target needs of RDMA, and its back ends: verbs and sim.
