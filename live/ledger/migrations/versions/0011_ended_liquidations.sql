-- A cross liquidation is over as soon as the account is healthy with no close in flight.

-- It went on where the user's own close had made it so, until the next one, whose deficit its losses then shared. Books
-- in which that may have been, or a snapshot from between a liquidation's fill and its end, would be replayed otherwise.
do $$ begin
    if exists (
        select from fills join positions on positions.id = fills.position_id
        where source = 'HYPERLIQUID' and positions.margin_mode = 'CROSS'
            and (action = 'LIQUIDATION' or action = 'CLOSE' and (
                exists (select from alerts where code = 'HL_DISCONNECTED')
                or exists (select from venue_orders where order_id like 'liquidation:%'))))
    then
        raise exception 'these books have liquidations of an earlier version, which this one may replay otherwise: '
            'the version of the tables'' revision 0010 reads them; begin new ones in an empty database';
    end if;
end $$;
