//! What a seed draws: how large the world is, what may happen in it, and how often.

use std::ops::RangeInclusive;
use std::time::Duration;

use fabric::sim::{FaultRates, SimOptions};

/// The one source of chance of a simulation beside that of its network: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Random {
        Random(seed ^ 0x5157_5f53_494d_5553)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number of a range.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// An index below `len`, which is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

/// What can happen in a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// An initiator reads.
    Read,
    /// An initiator writes.
    Write,
    /// An initiator sends a command without an effect.
    Other,
    /// ABORT TASK of a command that is under way.
    Abort,
    /// ABORT TASK of a command that may have ended, and whose tag may be in use again.
    LateAbort,
    /// LOGICAL UNIT RESET, ABORT TASK SET or CLEAR TASK SET.
    Reset,
    /// Several of them at once.
    ResetBurst,
    /// A further channel.
    LoginMulti,
    /// A login that replaces all channels.
    LoginSingle,
    /// A channel is disconnected.
    Disconnect,
    /// SRP_I_LOGOUT.
    Logout,
    /// An initiator's machine is gone without a word.
    Vanish,
    /// A fault of the fabric at one of the next operations.
    Fault,
    /// Device errors to come.
    DeviceError,
    /// Device operations to come get stuck.
    DeviceStall,
    /// What is stuck goes on.
    DeviceResume,
    /// A device becomes slower or faster.
    DeviceLatency,
    /// A reactor, or the control plane, stands still for a while.
    Sleep,
    /// PERSISTENT RESERVE OUT.
    Reserve,
    /// The administrator takes a LUN away, or brings it back.
    ToggleLun,
    /// The administrator makes a LUN read-only, or writable.
    ToggleReadOnly,
    /// The administrator ends a session.
    CloseSession,
    /// The administrator sets a state of the target port group.
    SetState,
}

/// Every action with its usual weight.
const WEIGHTS: [(Action, u64); 23] = [
    (Action::Read, 300),
    (Action::Write, 300),
    (Action::Other, 60),
    (Action::Abort, 40),
    (Action::LateAbort, 30),
    (Action::Reset, 10),
    (Action::ResetBurst, 4),
    (Action::LoginMulti, 60),
    (Action::LoginSingle, 6),
    (Action::Disconnect, 4),
    (Action::Logout, 3),
    (Action::Vanish, 2),
    (Action::Fault, 6),
    (Action::DeviceError, 4),
    (Action::DeviceStall, 6),
    (Action::DeviceResume, 8),
    (Action::DeviceLatency, 6),
    (Action::Sleep, 10),
    (Action::Reserve, 120),
    (Action::ToggleLun, 3),
    (Action::ToggleReadOnly, 3),
    (Action::CloseSession, 2),
    (Action::SetState, 20),
];

/// What a seed draws before the first step.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Initiators, each on a machine of its own.
    pub initiators: usize,
    /// Channels of an initiator at most.
    pub channels: usize,
    /// Cores of the target.
    pub reactors: usize,
    /// Credits of a channel.
    pub credits: u32,
    /// Logical units.
    pub units: u16,
    /// Blocks of each.
    pub blocks: u64,
    /// Commands of a channel at most.
    pub depth: usize,
    /// Longest time of a step in nanoseconds.
    pub step: u64,
    /// Of so many reads and writes, one each is ORDERED and HEAD OF QUEUE; 0: all are SIMPLE.
    pub attributes: u64,
    /// Whether channels use tags without regard to each other.
    pub shares_tags: bool,
    /// How the network behaves.
    pub network: SimOptions,
    /// Weight of each action; 0: it does not happen in this world.
    pub weights: [(Action, u64); WEIGHTS.len()],
}

impl Plan {
    /// Draws a plan. Each world leaves some actions out, so that what they would hide is met in another (swarm testing).
    pub fn draw(random: &mut Random) -> Plan {
        let mut weights = WEIGHTS;
        for (action, weight) in &mut weights {
            match action {
                Action::Read | Action::Write => *weight = random.within(50..=400),
                Action::LoginMulti | Action::DeviceResume => {}
                Action::Reserve if random.one_in(2) => *weight = 0,
                Action::ToggleLun | Action::ToggleReadOnly | Action::SetState if !random.one_in(3) => *weight = 0,
                _ if random.one_in(3) => *weight = 0,
                _ => *weight *= random.within(1..=3),
            }
        }
        let faults = match random.one_in(3) {
            true => draw_rates(random),
            false => FaultRates::default(),
        };
        let jitter = if random.one_in(4) { SimOptions::default() } else { SimOptions::jittery() };
        let network = SimOptions {
            retry_timeout: Duration::from_micros(random.within(100..=4000)),
            leave_after_error: Duration::from_micros(random.within(100..=8000)),
            faults,
            ..jitter
        };
        Plan {
            initiators: random.within(1..=3) as usize,
            channels: random.within(1..=3) as usize,
            reactors: random.within(1..=2) as usize,
            credits: random.pick(&[4, 5, 8, 16, 32]),
            units: random.within(1..=2) as u16,
            blocks: random.pick(&[16, 48, 512]),
            depth: random.pick(&[2, 4, 8, 32]),
            step: random.pick(&[4_000, 20_000, 80_000]),
            attributes: random.pick(&[0, 0, 3, 8]),
            shares_tags: random.one_in(3),
            network,
            weights,
        }
    }

    /// What happens next.
    pub fn action(&self, random: &mut Random) -> Action {
        let mut rest = random.below(self.weights.iter().map(|(_, weight)| weight).sum());
        for &(action, weight) in &self.weights {
            if rest < weight {
                return action;
            }
            rest -= weight;
        }
        Action::Other
    }

    /// Whether an action can happen in this world.
    pub fn has(&self, action: Action) -> bool {
        self.weights.iter().any(|&(other, weight)| other == action && weight > 0)
    }
}

fn draw_rates(random: &mut Random) -> FaultRates {
    let mut rate = |most| if random.one_in(2) { 0 } else { random.below(most) as u32 };
    FaultRates {
        lose_connection: rate(2000),
        peer_disconnect: rate(2000),
        fail_operation: rate(2000),
        delay_spike: rate(20_000),
        spike: Duration::from_micros(500),
        late_established: rate(500_000),
        lost_established: rate(200_000),
    }
}
