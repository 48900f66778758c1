//! One machine of the fleet: its lifecycle, and its own random numbers.

use activation::{
    id::{Cmid, MachineDigest, ProductId, PublisherId},
    lifecycle::{Evidence, Installed, LicenseState, Lifecycle, Moment, Next},
    message::Request,
    status::Status,
};
use anyhow::Context;

/// Random numbers (SplitMix64), seeded with the machine's number so that a run can be repeated.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self) -> [u8; 16] {
        ((u128::from(self.next()) << 64) | u128::from(self.next())).to_be_bytes()
    }
}

pub(super) struct FleetMachine {
    life: Lifecycle,
    chance: Chance,
    /// The fields that are the same in every request of the machine.
    said: Request,
}

impl FleetMachine {
    /// A machine that has just been installed with the product's setup key.
    pub(super) fn install(
        number: u32,
        publisher: PublisherId,
        product: ProductId,
        now: Moment,
    ) -> anyhow::Result<Self> {
        let mut chance = Chance(number.into());
        let life = Lifecycle::begin(now, chance.next());
        let standing = life.standing(now, Installed::Setup);
        let said = Request {
            nonce: [0; 16],
            publisher,
            product,
            cmid: Cmid(chance.bytes()),
            machine: MachineDigest(u64::from(number).to_be_bytes()),
            machine_name: format!("PC-{number:06}").parse().context("a machine name of the fleet")?,
            virtual_machine: false,
            license_status: standing.state.status(),
            minutes_to_expiry: 0,
            client_time_ms: now.wall_ms,
        };
        Ok(Self { life, chance, said })
    }

    /// A new request, made at `now`.
    pub(super) fn request(&mut self, now: Moment) -> Request {
        let standing = self.life.standing(now, Installed::Setup);
        Request {
            nonce: self.chance.bytes(),
            license_status: standing.state.status(),
            minutes_to_expiry: u32::try_from(standing.minutes_left.unwrap_or(0)).unwrap_or(u32::MAX),
            client_time_ms: now.wall_ms,
            ..self.said.clone()
        }
    }

    /// Records the answer to a request, or its refusal.
    pub(super) fn hear(&mut self, now: Moment, heard: &Result<Evidence, Status>) {
        let chance = self.chance.next();
        match heard {
            Ok(evidence) => self.life.answered(now, evidence, chance),
            Err(status) => self.life.failed(now, *status, chance),
        }
    }

    /// How long from `now` until the machine's next request, in milliseconds.
    pub(super) fn asks_in_ms(&self, now: Moment) -> anyhow::Result<u64> {
        match self.life.next(now, Installed::Setup) {
            Next::Attempt => Ok(0),
            Next::Wait(wait) => Ok(u64::try_from(wait.as_millis())?),
            Next::Nothing => anyhow::bail!("a machine with a setup key has no next request"),
        }
    }

    pub(super) fn is_licensed(&self, now: Moment) -> bool {
        self.life.standing(now, Installed::Setup).state == LicenseState::Licensed
    }
}
