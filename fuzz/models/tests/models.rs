//! Runs the models.

use models::models;

#[test]
fn no_wake_up_is_lost() {
    models::no_wake_up_is_lost();
}

#[test]
fn a_woken_reactor_sees_what_was_sent() {
    models::a_woken_reactor_sees_what_was_sent();
}

#[test]
fn no_record_is_torn() {
    models::no_record_is_torn();
}

#[test]
fn overlapping_claims_are_never_granted_at_once() {
    models::overlapping_claims_are_never_granted_at_once();
}

#[test]
fn a_claim_and_what_it_forbids_are_never_under_way_at_once() {
    models::a_claim_and_what_it_forbids_are_never_under_way_at_once();
}
