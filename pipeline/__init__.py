"""The ground: packets, contracts and specs below; configuration, graph, links and the runner above."""
