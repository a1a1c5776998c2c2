//! What a unit tells of the device beneath, through the whole target.

use fabric::sim::SimOptions;

use super::*;
use crate::AdminError;
use crate::testing::Form;
use crate::testing::wire::Residual;
use scsi::UnitAttention;

fn null(name: &str, num_blocks: u64) -> Arc<Bdev> {
    let options = bdev::null::NullOptions { name: name.into(), num_blocks, block_size: BLOCK, ..Default::default() };
    bdev::null::create(options).expect("a null device")
}

fn refusal(rig: &mut Rig, bdev: &Arc<Bdev>, options: LunOptions) -> String {
    let error = rig.controller.add_lun("tgt0", bdev, &options).expect_err("it must be refused");
    assert!(matches!(error, AdminError::Invalid(_) | AdminError::Exists(_)), "{error:?}");
    error.to_string()
}

/// The answer stands in the middle of its buffer, where the device put the descriptors.
#[test]
fn lba_status_arrives_in_every_form() {
    let mut rig = Rig::new(31, 1, SimOptions::jittery(), 16);
    rig.export(&null("null0", 1000));
    let mut initiator = rig.initiator(1);
    let channel = rig.login(&mut initiator, MultiChannel::Single);
    rig.clear_attention(&mut initiator, channel, 0);
    let mut expected = vec![0, 0, 0, 20, 0, 0, 0, 0];
    expected.extend(400_u64.to_be_bytes());
    expected.extend(600_u32.to_be_bytes());
    expected.extend([0; 4]);
    for (allocation, form) in
        [(512, Form::Direct), (24, Form::Direct), (20, Form::inline(20, 3)), (512, Form::table(512, 40, 0))]
    {
        let mut cdb = vec![0x9e, 0x12, 0, 0, 0, 0, 0, 0, 1, 0x90];
        cdb.extend(u32::to_be_bytes(allocation));
        cdb.extend([0, 0]);
        let answer =
            rig.execute(&mut initiator, channel, &Request::new(lun(0), cdb).data_in(allocation).form(form)).good();
        let arrived = expected.len().min(allocation as usize);
        assert_eq!(answer.data[..arrived], expected[..arrived]);
        let under = allocation - arrived as u32;
        let residual = if under > 0 { Residual::Under(under) } else { Residual::None };
        assert_eq!(answer.residual_in, residual, "nothing else arrived");
    }
    initiator.disconnect(channel);
    rig.check_nothing_leaked();
}

#[test]
fn a_change_of_a_bdev_is_told_to_each_session_once() {
    let mut rig = Rig::new(32, 2, SimOptions::default(), 16);
    rig.export(&malloc("thin", 100));
    rig.export(&malloc("other", 100));
    let mut initiators = [rig.initiator(1), rig.initiator(2)];
    let channels = [0, 1].map(|index| rig.login(&mut initiators[index], MultiChannel::Single));
    for (initiator, channel) in initiators.iter_mut().zip(channels) {
        (0..2).for_each(|number| rig.clear_attention(initiator, channel, number));
    }
    rig.controller.bdev_changed("thin", UnitAttention::ThinProvisioningThreshold);
    for (initiator, channel) in initiators.iter_mut().zip(channels) {
        rig.execute(initiator, channel, &Request::test_unit_ready(lun(1))).good();
        let told = rig.execute(initiator, channel, &Request::test_unit_ready(lun(0))).answer();
        assert_eq!(told.key_and_code(), Some((0x6, 0x38, 0x07)));
        rig.execute(initiator, channel, &Request::test_unit_ready(lun(0))).good();
    }
}

#[test]
fn what_is_wrong_with_an_identity_is_named() {
    let mut rig = Rig::new(33, 1, SimOptions::default(), 16);
    let disk = malloc("disk", 100);
    let text = |value: &str| Some(value.to_string());
    for (options, words) in [
        (LunOptions { product: text("seventeen letters"), ..Default::default() }, "product: 'seventeen letters'"),
        (LunOptions { product: text(""), ..Default::default() }, "product: ''"),
        (LunOptions { vendor: text("ninechars"), ..Default::default() }, "vendor: 'ninechars'"),
        (LunOptions { revision: text("1.2.3"), ..Default::default() }, "revision: '1.2.3'"),
        (LunOptions { serial: text(" 1"), ..Default::default() }, "serial: ' 1'"),
        (LunOptions { naa: Some(1), ..Default::default() }, "naa: 0000000000000001"),
    ] {
        let said = refusal(&mut rig, &disk, options);
        assert!(said.starts_with(words), "{said}");
    }
}

/// Two disks with one identity: dm-multipath joined them and wrote each one's data to both.
#[test]
fn two_units_never_have_one_identity() {
    let mut rig = Rig::new(34, 1, SimOptions::default(), 16);
    let (first, second) = (malloc("first", 100), malloc("second", 100));
    let eui64 = "0002c90300001234".parse().ok();
    let identity = LunOptions { naa: Some(0x5000_0000_0000_0001), eui64, ..Default::default() };
    rig.controller.add_lun("tgt0", &first, &identity).expect("a LUN");
    let same_naa = LunOptions { naa: identity.naa, ..Default::default() };
    let same_eui64 = LunOptions { eui64, ..Default::default() };
    assert!(refusal(&mut rig, &second, same_naa.clone()).starts_with("naa: 0x5000000000000001 is that of bdev first"));
    assert!(refusal(&mut rig, &second, same_eui64).starts_with("eui64: 0x0002c90300001234 is that of bdev first"));
    rig.controller.add_lun("tgt0", &second, &LunOptions::default()).expect("its own identity");

    rig.controller.remove_lun("tgt0", 0).expect("it is there");
    rig.controller.remove_lun("tgt0", 1).expect("it is there");
    rig.controller.add_lun("tgt0", &second, &same_naa).expect("nobody has it any more");
}

/// MODE SELECT goes to the control plane and back; the other initiator is told, the one that asked is not.
#[test]
fn mode_select_is_told_to_the_others() {
    let mut rig = Rig::new(33, 2, SimOptions::jittery(), 16);
    rig.export(&malloc("ram0", 100));
    let mut initiators = [rig.initiator(1), rig.initiator(2)];
    let channels = [0, 1].map(|index| rig.login(&mut initiators[index], MultiChannel::Single));
    for (initiator, channel) in initiators.iter_mut().zip(channels) {
        rig.clear_attention(initiator, channel, 0);
    }
    let list = vec![0, 0, 0, 0, 0x0a, 0x0a, 0x06, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 60];
    let select =
        Request::new(lun(0), vec![0x15, 0x10, 0, 0, u8::try_from(list.len()).expect("short"), 0]).data_out(list);
    rig.execute(&mut initiators[0], channels[0], &select).good();
    assert_eq!(rig.execute(&mut initiators[0], channels[0], &Request::test_unit_ready(lun(0))).answer().status, 0);
    let told = rig.execute(&mut initiators[1], channels[1], &Request::test_unit_ready(lun(0))).answer();
    assert_eq!(told.key_and_code(), Some((6, 0x2a, 0x01)));
    for (initiator, channel) in initiators.iter_mut().zip(channels) {
        initiator.disconnect(channel);
    }
    rig.check_nothing_leaked();
}
