//! The SRP target: login, channels, credits, commands, task management.
