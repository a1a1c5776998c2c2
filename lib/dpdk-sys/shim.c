/* DPDK's inline functions, with a symbol each; see shim.h. */
#include "shim.h"

int shim_errno(void) { return rte_errno; }

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, packets, count);
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, packets, count);
}

int shim_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, packets, count);
}

void shim_mbuf_free(struct rte_mbuf *packet) { rte_pktmbuf_free(packet); }

uint8_t *shim_mbuf_data(struct rte_mbuf *packet) { return rte_pktmbuf_mtod(packet, uint8_t *); }

uint16_t shim_mbuf_data_len(const struct rte_mbuf *packet) { return rte_pktmbuf_data_len(packet); }

int shim_mbuf_is_contiguous(const struct rte_mbuf *packet) { return rte_pktmbuf_is_contiguous(packet); }

uint8_t *shim_mbuf_append(struct rte_mbuf *packet, uint16_t len) { return (uint8_t *)rte_pktmbuf_append(packet, len); }
