<?php
// A pool of worker processes on a Unix socket: each answers a request with the same in capitals, one with nothing.
[, $path] = $argv;
$pool = new Swoole\Process\Pool(3, SWOOLE_IPC_SOCKET);
$pool->on('message', function (Swoole\Process\Pool $pool, string $request) {
    if ($request === 'die') {
        exit(1);
    }
    if ($request !== 'nothing') {
        // In two calls: they are gathered.
        $pool->write(strtoupper(substr($request, 0, 1)));
        $pool->write(strtoupper(substr($request, 1)));
    }
});
$pool->listen("unix:$path");
echo "listening on $path\n";
$pool->start();
