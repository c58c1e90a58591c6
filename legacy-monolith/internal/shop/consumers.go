package shop

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

func (s *server) createConsumer(c echo.Context) error {
	var in struct {
		FirstName string `json:"first_name"`
		LastName  string `json:"last_name"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	firstName, err := kit.Text("first_name", in.FirstName, 100)
	if err != nil {
		return err
	}
	lastName, err := kit.Text("last_name", in.LastName, 100)
	if err != nil {
		return err
	}
	return s.orders.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		row := model.Consumer{FirstName: firstName, LastName: lastName}
		if err := tx.Create(&row).Error; err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusCreated, consumerView(row))
	})
}

func (s *server) getConsumer(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var row model.Consumer
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		row, err = find[model.Consumer](tx, "consumer", id)
		return err
	})
	if err != nil {
		return err
	}
	return send(c, http.StatusOK, consumerView(row))
}

// find returns the row of T's table that has the id; what names it in the 404 when none has.
func find[T any](tx *gorm.DB, what string, id int64) (T, error) {
	var rows []T
	if err := tx.Where("id = ?", id).Find(&rows).Error; err != nil {
		return *new(T), err
	}
	if len(rows) == 0 {
		return *new(T), kit.NotFound(what, id)
	}
	return rows[0], nil
}
