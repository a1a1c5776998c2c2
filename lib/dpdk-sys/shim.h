/* What bindgen reads: the headers that declare what we use, and the functions that shim.c gives a symbol. */
#pragma once

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

/* rte_errno of the calling thread. */
int shim_errno(void);

/* rte_eth_rx_burst and rte_eth_tx_burst. */
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);

/* rte_pktmbuf_alloc_bulk and rte_pktmbuf_free. */
int shim_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, unsigned int count);
void shim_mbuf_free(struct rte_mbuf *packet);

/* rte_pktmbuf_mtod, rte_pktmbuf_data_len, rte_pktmbuf_is_contiguous, and rte_pktmbuf_append: NULL if there is no room. */
uint8_t *shim_mbuf_data(struct rte_mbuf *packet);
uint16_t shim_mbuf_data_len(const struct rte_mbuf *packet);
int shim_mbuf_is_contiguous(const struct rte_mbuf *packet);
uint8_t *shim_mbuf_append(struct rte_mbuf *packet, uint16_t len);
