package control

import (
	"context"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

// count adds to what all instances have counted.
func count(tx *gorm.DB, more []strangler.Traffic) error {
	for _, t := range more {
		if _, err := insertMissing(tx, &trafficRow{Capability: t.Capability}); err != nil {
			return err
		}
		err := tx.Model(&trafficRow{}).Where("capability = ?", t.Capability).Updates(map[string]any{
			"legacy": gorm.Expr("legacy + ?", t.Legacy.Requests), "legacy_errors": gorm.Expr("legacy_errors + ?", t.Legacy.Errors),
			"service": gorm.Expr("service + ?", t.Service.Requests), "service_errors": gorm.Expr("service_errors + ?", t.Service.Errors),
		}).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// Traffic is what all instances have counted since the store was made, of capabilities of which anything was.
func (s *Store) Traffic(ctx context.Context) ([]strangler.Traffic, error) {
	var rows []trafficRow
	if err := s.db.WithContext(ctx).Order("capability").Find(&rows).Error; err != nil {
		return nil, readError("the traffic", err)
	}
	out := make([]strangler.Traffic, len(rows))
	for i, r := range rows {
		out[i] = strangler.Traffic{Capability: r.Capability, Legacy: strangler.Answers{Requests: r.Legacy, Errors: r.LegacyErrors},
			Service: strangler.Answers{Requests: r.Service, Errors: r.ServiceErrors}}
	}
	return out, nil
}
