-- A cross liquidation is over as soon as the account is healthy with no close in flight.

-- It went on where the user's own close had made it so, or was not filled, until the next one, whose deficit its losses
-- then shared. Books in which that may have been, or a snapshot from between a liquidation's fill and its end, would be
-- replayed otherwise: those with a close of a cross position that was sent to Hyperliquid, or had to wait for it.
do $$ begin
    if exists (
        select from positions where position_source = 'HYPERLIQUID' and margin_mode = 'CROSS' and (
            exists (select from alerts where code in ('HL_DISCONNECTED', 'HEDGE_LIQUIDATED'))
            or exists (select from venue_orders where order_id = 'liquidation:' || positions.id)))
    then
        raise exception 'these books have liquidations of an earlier version, which this one may replay otherwise: '
            'the version of the tables'' revision 0010 reads them; begin new ones in an empty database';
    end if;
end $$;

-- What stood against a close on the wrong side or of the wrong symbol, and against margin of a cross position, is told
-- in other words: rows and answers would be replayed with another text.
do $$ begin
    if exists (
        select from orders join positions on positions.id = orders.position_id and positions.user_id = orders.user_id
        where orders.reason = format('UNKNOWN_POSITION: no open position %s to close', positions.id)
            and (orders.symbol <> positions.symbol or (orders.side = 'SELL') <> (positions.direction = 'LONG')))
        or exists (select from idempotency_keys where answer like '%no such isolated position%')
    then
        raise exception 'these books have refusals in the words of an earlier version: '
            'the version of the tables'' revision 0010 reads them; begin new ones in an empty database';
    end if;
end $$;
