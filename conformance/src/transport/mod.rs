//! The contract of a transport.

mod acknowledging;
mod breaking;
mod buffering;
mod cancelling;
mod closing;
mod delivery;
mod dropping;
mod frames;
mod harness;
mod listening;
mod load;
mod outages;
mod peers;
mod publishing;
mod refusals;
mod secrets;
mod silence;
mod strangers;
mod traffic;

use std::sync::Arc;

pub use harness::{Member, Stranger, TransportCluster, TransportHarness};

use crate::{
    Suite,
    case::{Case, cases},
};

/// The cases of the transport interface on this backend.
pub fn transport_suite(harness: impl TransportHarness) -> Suite {
    let name = harness.name();
    Suite::of(
        name,
        "transport",
        CASES,
        Arc::new(harness) as Arc<dyn TransportHarness>,
    )
}

const CASES: &[Case<dyn TransportHarness>] = cases![dyn TransportHarness;
    "contract: every other node receives" delivery::a_frame_reaches_all_others,
    "contract: every other node receives" delivery::many_subscribers_all_receive,
    "contract: live when subscribe returns" delivery::live_when_subscribe_returns,
    "contract: order per origin while nothing fails" delivery::one_origin_arrives_in_order,
    "contract: at most once" delivery::a_frame_comes_once,
    "contract: a gap says that frames may be lost" delivery::no_gap_while_nothing_fails,
    "contract: many may be in flight" delivery::concurrent_publishers_lose_nothing,
    "contract: capabilities().echoes" delivery::own_frames_come_as_declared,
    "contract: after its end one subscribes again" delivery::one_subscribes_again,
    "contract: live until it ends" delivery::a_quiet_subscription_still_hears,
    "contract: one outcome for each peer" peers::delivery_names_each_peer,
    "contract: received means that a subscription has it" peers::a_closed_peer_received_nothing,
    "contract: capabilities().unicast" peers::a_frame_for_one_node_goes_as_declared,
    "contract: capabilities() are claims, not state" peers::capabilities_do_not_change,
    "contract: frames are opaque" frames::binary_frames_arrive_whole,
    "contract: frames are opaque" frames::an_empty_frame_arrives,
    "contract: capabilities().max_frame" frames::the_largest_frame_arrives_whole,
    "contract: frames are delivered whole" frames::large_frames_at_once_arrive_whole,
    "contract: capabilities().max_frame" frames::one_byte_more_is_too_large,
    "contract: capabilities().acknowledges" acknowledging::an_acknowledgement_means_applied,
    "contract: capabilities().acknowledges" acknowledging::a_dropped_acknowledgement_is_not_applied,
    "P16" acknowledging::a_withheld_acknowledgement_delays_no_other,
    "P10, P11, P18" buffering::a_slow_subscriber_gets_a_gap,
    "P11, P18" buffering::no_more_waits_than_declared,
    "P16" buffering::a_slow_subscriber_delays_no_other,
    "P8" strangers::clusters_are_apart,
    "P8, P18" strangers::a_stranger_is_never_authenticated,
    "contract: errors name their kind" refusals::wrong_credentials_are_denied,
    "contract: errors name their kind" refusals::a_wrong_host_is_unavailable,
    "contract: errors name their kind" refusals::wrong_tls_is_refused,
    "contract: no credential is shown" secrets::no_secret_is_shown,
    "contract: no credential is logged" secrets::no_secret_is_logged,
    "P10" load::a_cut_link_loses_nothing_silently,
    "P10, contract: publish succeeds once the frame is out" load::a_publishers_cut_link_loses_nothing_silently,
    "P10, contract: publish succeeds once the frame is out" silence::a_publishers_silent_link_loses_nothing_silently,
    "P10" load::a_stopped_server_loses_nothing_silently,
    "P10" load::a_restarted_server_loses_nothing_silently,
    "P10" load::a_restarted_node_loses_nothing_silently,
    "P20, contract: once and in order while nothing fails" outages::calm_returns_after_a_cut,
    "contract: publish errors in time, and never retries" outages::publishing_while_down_fails_in_time,
    "contract: probe" outages::a_probe_tells_the_truth,
    "contract: frames may be delayed" outages::a_slow_link_still_delivers,
    "contract: notices_loss_within" silence::a_black_hole_is_noticed,
    "contract: notices_loss_within" silence::a_paused_server_is_noticed,
    "contract: calls end within their time-out" silence::a_silent_link_holds_no_call,
    "P16" silence::an_unreachable_peer_delays_no_other,
    "contract: cancel-safe" cancelling::a_dropped_publish_leaves_it_usable,
    "contract: cancel-safe" cancelling::a_dropped_subscribe_leaves_it_usable,
    "contract: cancel-safe" cancelling::a_dropped_probe_leaves_it_usable,
    "contract: cancel-safe" cancelling::a_dropped_close_can_be_repeated,
    "contract: close is idempotent" closing::close_is_idempotent,
    "contract: close ends the subscriptions" closing::close_ends_subscriptions,
    "contract: after close" closing::after_close_all_is_closed,
    "contract: close may meet any call" closing::close_meets_publish,
    "contract: close may meet any call" closing::close_meets_subscribe,
    "contract: close ends all connections" closing::close_ends_connections,
    "contract: every task has an owner" dropping::dropping_leaks_no_task,
    "contract: every connection has an owner" dropping::dropping_leaks_no_connection,
    "contract: every connection has an owner" dropping::subscriptions_leak_no_connection,
];
