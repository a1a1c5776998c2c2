//! Whether the process is alive, and whether it is ready for initiators; where not, why.

use std::time::Duration;

use fabric::ListenerState;
use reactor::ReactorHandle;
use tokio::time::Instant;

use super::ask::{PATIENCE, Readiness};
use super::scrapes::Sources;

/// How often reactors that have not moved yet are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// `/healthz`: every reactor and the control thread go on. The reason why not is one line each.
pub(super) async fn health(sources: &Sources) -> Result<(), String> {
    let mut complaints = stalled(&sources.reactors).await;
    if sources.asker.readiness().await.is_none() {
        complaints.push(no_answer());
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

/// `/readyz`: the configuration is applied, a listener takes logins, and the target is not about to end.
pub(super) async fn readiness(sources: &Sources) -> Result<(), String> {
    match sources.asker.readiness().await {
        Some(readiness) => is_ready(&readiness),
        None => Err(no_answer()),
    }
}

fn no_answer() -> String {
    format!(
        "control thread: no answer within {} s: the configuration is still being applied, or it is stuck (a file system that does not answer?)",
        PATIENCE.as_secs()
    )
}

/// Waits until every reactor has begun another round, which takes those that are well microseconds.
async fn stalled(reactors: &[ReactorHandle]) -> Vec<String> {
    let start = Instant::now();
    let mut waiting: Vec<(&ReactorHandle, u64)> = reactors.iter().map(|it| (it, it.stats().rounds)).collect();
    loop {
        waiting.retain(|(reactor, rounds)| reactor.stats().rounds == *rounds);
        if waiting.is_empty() {
            return Vec::new();
        }
        if start.elapsed() >= PATIENCE {
            return waiting.into_iter().map(|(reactor, _)| describe(reactor)).collect();
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

fn describe(reactor: &ReactorHandle) -> String {
    let stats = reactor.stats();
    let pollers: Vec<&str> = stats.pollers.iter().map(|poller| poller.name.as_str()).collect();
    let (name, seconds) = (stats.name, PATIENCE.as_secs());
    format!("{name}: no round was finished within {seconds} s; it runs {}", pollers.join(", "))
}

fn is_ready(readiness: &Readiness) -> Result<(), String> {
    if readiness.draining {
        return Err("the target is about to end: it takes no logins".into());
    }
    let waiting = readiness.listeners.iter().filter_map(|listener| match &listener.state {
        ListenerState::Listening => None,
        ListenerState::Waiting(reason) => Some(format!("{} {}: {reason}", listener.fabric, listener.place())),
    });
    let waiting: Vec<String> = waiting.collect();
    match (readiness.listeners.len(), waiting.len()) {
        (0, _) => Err("there is no listener: srp_create_listener makes one".into()),
        (all, waiting_count) if all == waiting_count => Err(format!("no listener listens:\n{}", waiting.join("\n"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use reactor::{IdleMode, ManualClock, Reactor, ReactorConfig};

    use super::*;
    use crate::listeners::Shown;

    fn listener(state: ListenerState) -> Shown {
        let address = Some([127, 0, 0, 1].into());
        Shown { fabric: "roce".into(), interface: None, family: None, address, port: 5555, state }
    }

    #[test]
    fn one_listener_that_listens_is_enough_and_a_drain_ends_it() {
        let why = |draining, listeners| is_ready(&Readiness { draining, listeners });
        let waiting = || listener(ListenerState::Waiting("no such address".into()));
        assert!(why(false, vec![]).is_err_and(|said| said.contains("srp_create_listener")));
        assert!(why(false, vec![waiting()]).is_err_and(|said| said.contains("no such address")));
        assert_eq!(why(false, vec![waiting(), listener(ListenerState::Listening)]), Ok(()));
        assert!(why(true, vec![listener(ListenerState::Listening)]).is_err_and(|said| said.contains("end")));
    }

    /// One that nobody runs stands for one that is stuck.
    #[test]
    fn a_reactor_that_does_not_move_is_named() {
        let config = |name: &str| ReactorConfig {
            core: None,
            name: name.into(),
            idle: IdleMode::Poll,
            stall_after: Duration::MAX,
        };
        let stuck = Reactor::new(config("stuck"), ManualClock::new());
        let mut well = Reactor::new(config("well"), ManualClock::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let reactors = [well.handle(), stuck.handle()];
        let said = runtime.expect("a runtime").block_on(async {
            let (complaints, ()) = tokio::join!(stalled(&reactors), async {
                well.run_once();
            });
            complaints
        });
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("stuck: "), "{said:?}");
    }
}
