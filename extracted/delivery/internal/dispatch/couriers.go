package dispatch

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
)

// planLimit is how many actions of a courier are shown.
const planLimit = 50

func (s *server) createCourier(c echo.Context) error {
	var in struct {
		FirstName string      `json:"first_name"`
		LastName  string      `json:"last_name"`
		Address   addressView `json:"address"`
		Available *bool       `json:"available"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	row := courier{Available: in.Available}
	for _, text := range []struct {
		to    *string
		field string
		value string
		limit int
	}{
		{&row.FirstName, "first_name", in.FirstName, 100},
		{&row.LastName, "last_name", in.LastName, 100},
		{&row.Street, "address.street", in.Address.Street, 200},
		{&row.City, "address.city", in.Address.City, 100},
		{&row.Zip, "address.zip", in.Address.Zip, 20},
	} {
		if *text.to, err = kit.Text(text.field, text.value, text.limit); err != nil {
			return err
		}
	}
	return s.once.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		row.ID, row.IdleSince = 0, kit.Now()
		if err := tx.Create(&row).Error; err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusCreated, viewCourier(row))
	})
}

func (s *server) getCourier(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var row courier
	var actions []courierAction
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		if row, err = findCourier(tx, id); err != nil {
			return err
		}
		return tx.Where("courier_id = ?", id).Order("id DESC").Limit(planLimit).Find(&actions).Error
	})
	if err != nil {
		return err
	}
	answer, err := kit.JSON(http.StatusOK, courierPlanView{courierView: viewCourier(row), Plan: viewActions(actions)})
	if err != nil {
		return err
	}
	return answer.Send(c)
}

func (s *server) setAvailability(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var in struct {
		Available *bool `json:"available"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	if in.Available == nil {
		return kit.Invalid("available", "is required")
	}
	return s.once.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		if err := tx.Model(&courier{}).Where("id = ?", id).Update("available", *in.Available).Error; err != nil {
			return kit.Answer{}, err
		}
		row, err := findCourier(tx, id)
		if err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusOK, viewCourier(row))
	})
}

func findCourier(tx *gorm.DB, id int64) (courier, error) {
	var rows []courier
	if err := tx.Where("id = ?", id).Find(&rows).Error; err != nil {
		return courier{}, err
	}
	if len(rows) == 0 {
		return courier{}, kit.NotFound("courier", id)
	}
	return rows[0], nil
}
